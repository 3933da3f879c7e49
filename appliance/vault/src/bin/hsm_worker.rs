//! The HSM worker as a program of its own, for tests and examples; the appliance runs the same
//! function as a hidden subcommand of its one binary.

fn main() -> std::io::Result<()> {
    vault::hsm::worker::run(std::io::stdin().lock(), std::io::stdout().lock())
}
