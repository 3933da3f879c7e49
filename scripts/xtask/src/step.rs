//! One step of a check: a command with a name and a time limit, and what came of it.

use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command with a name.
pub(crate) struct Step {
    name: &'static str,
    program: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    limit: Duration,
    requires: Option<&'static str>,
}

/// Time that a step may take unless it says otherwise. Long enough for a first build of the
/// cryptographic provider on one slow core; short enough that a hang is seen the same hour.
const LIMIT: Duration = Duration::from_secs(30 * 60);

impl Step {
    /// A step that runs `program` with `arguments` in the root of the tree.
    pub(crate) fn new(name: &'static str, program: &str, arguments: &[&str]) -> Self {
        Self {
            name,
            program: program.to_owned(),
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            environment: Vec::new(),
            limit: LIMIT,
            requires: None,
        }
    }

    /// Adds one more argument.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable.
    pub(crate) fn environment(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Changes the time limit.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Not to be tried, and counted as failed, when that step failed.
    pub(crate) fn requires(mut self, name: &'static str) -> Self {
        self.requires = Some(name);
        self
    }

    /// Runs the command, passes its output on and counts the tests that it reports.
    fn run(&self) -> Result<Outcome> {
        println!(
            "\n== {} ==\n$ {} {}",
            self.name,
            self.program,
            self.arguments.join(" ")
        );
        let begun = Instant::now();
        // coreutils' timeout ends the whole process group, so that no test leaves a node behind.
        let mut child = Command::new("timeout")
            .arg("--kill-after=10")
            .arg(self.limit.as_secs().to_string())
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(crate::root())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.program))?;
        let mut counts = Counts::default();
        let output = child
            .stdout
            .take()
            .context("standard output was asked for above")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            counts.add(&line);
        }
        let status = child.wait()?;
        let passed = counts.passed;
        // A step without tests of its own counts as one; so does a build that broke midway.
        let (passed, failed) = match (status.success(), passed, counts.failed) {
            (true, 0, 0) => (1, 0),
            (false, _, 0) => (passed, 1),
            (_, _, failed) => (passed, failed),
        };
        let note = match status.code() {
            Some(124 | 137) => format!("ended after {} s, its limit", self.limit.as_secs()),
            _ => String::new(),
        };
        Ok(Outcome {
            name: self.name,
            passed,
            failed,
            took: begun.elapsed(),
            note,
        })
    }
}

/// Tests as the test harness reports them.
#[derive(Default)]
struct Counts {
    passed: u32,
    failed: u32,
}

impl Counts {
    /// Reads `test result: ok. 5 passed; 0 failed; ...`.
    fn add(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once("test result: ") else {
            return;
        };
        let number_before = |word: &str| {
            let (before, _) = rest.split_once(word)?;
            before.split_whitespace().next_back()?.parse::<u32>().ok()
        };
        self.passed += number_before(" passed").unwrap_or(0);
        self.failed += number_before(" failed").unwrap_or(0);
    }
}

/// What came of a step.
struct Outcome {
    name: &'static str,
    passed: u32,
    failed: u32,
    took: Duration,
    note: String,
}

/// Runs the steps in order, all of them even when one fails, and prints the table.
///
/// # Errors
/// When anything failed: the last line printed says how much.
pub(crate) fn run_all(steps: &[Step]) -> Result<()> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for step in steps {
        let broken = |name: &str| outcomes.iter().any(|o| o.name == name && o.failed > 0);
        let outcome = match step.requires {
            Some(required) if broken(required) => Outcome {
                name: step.name,
                passed: 0,
                failed: 1,
                took: Duration::ZERO,
                note: format!("not tried: `{required}` failed"),
            },
            _ => step.run()?,
        };
        outcomes.push(outcome);
    }
    println!(
        "\n{:<24} {:>8} {:>8} {:>10}",
        "step", "passed", "failed", "seconds"
    );
    for o in &outcomes {
        let seconds = o.took.as_secs_f64();
        println!(
            "{:<24} {:>8} {:>8} {seconds:>10.1}  {}",
            o.name, o.passed, o.failed, o.note
        );
    }
    let took: Duration = outcomes.iter().map(|o| o.took).sum();
    let passed: u32 = outcomes.iter().map(|o| o.passed).sum();
    let failed: u32 = outcomes.iter().map(|o| o.failed).sum();
    println!(
        "{:<24} {:>8} {:>8} {:>10.1}",
        "all",
        "",
        "",
        took.as_secs_f64()
    );
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! The counter and the table's verdicts, on commands that every machine has.
    use super::*;

    #[test]
    fn counts_what_the_harness_reports() {
        let mut counts = Counts::default();
        counts.add("running 3 tests");
        counts.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured");
        counts.add("test result: FAILED. 3 passed; 2 failed; 0 ignored");
        assert_eq!((counts.passed, counts.failed), (15, 2));
    }

    fn outcome(step: &Step) -> (u32, u32, String) {
        let o = step.run().expect("timeout(1) is part of coreutils");
        (o.passed, o.failed, o.note)
    }

    #[test]
    fn a_step_without_tests_counts_as_one() {
        assert_eq!(outcome(&Step::new("t", "true", &[])), (1, 0, String::new()));
        assert_eq!(
            outcome(&Step::new("f", "false", &[])),
            (0, 1, String::new())
        );
    }

    #[test]
    fn a_broken_build_is_a_failure_even_when_tests_passed_before_it() {
        let script = "echo 'test result: ok. 4 passed; 0 failed'; exit 101";
        assert_eq!(
            outcome(&Step::new("b", "sh", &["-c", script])),
            (4, 1, String::new())
        );
    }

    #[test]
    fn a_hang_is_ended_and_named() {
        let step = Step::new("h", "sleep", &["60"]).limit(Duration::from_secs(1));
        let (passed, failed, note) = outcome(&step);
        assert_eq!((passed, failed), (0, 1));
        assert!(note.contains("its limit"), "{note}");
    }
}
