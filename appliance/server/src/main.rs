//! The program `strongroom`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A release build is made to abort; so that the tests of a debug build meet the same program,
    // it ends in the same way and does not go on without the task that panicked.
    #[cfg(debug_assertions)]
    {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            tell(panic);
            std::process::abort();
        }));
    }
    server::program::main()
}
