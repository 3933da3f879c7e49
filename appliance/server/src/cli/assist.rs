//! Tab and `?`: what may come next in a line, from the grammar itself.

use clap::{Arg, Command};
use std::fmt::Write;

/// Something that may come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The word, or `<NAME>` for one that only the user knows.
    pub(crate) word: String,
    /// What it is.
    pub(crate) about: String,
}

impl Choice {
    fn new(word: impl Into<String>, about: Option<&clap::builder::StyledStr>) -> Self {
        let about = about.map(ToString::to_string).unwrap_or_default();
        // The first sentence; the rest is for --help.
        let about = about.lines().next().unwrap_or_default().to_owned();
        Self {
            word: word.into(),
            about,
        }
    }

    /// Whether it is to be typed as it stands.
    fn is_literal(&self) -> bool {
        !self.word.starts_with('<')
    }
}

/// What Tab does to the word before the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// This is missing.
    Insert(String),
    /// One of these.
    Choose(Vec<Choice>),
    /// Nothing fits.
    None,
}

/// The words of a line, and the one that is being typed; quotes keep spaces together.
pub(crate) fn words(line: &str) -> (Vec<String>, Option<String>) {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    (words, word)
}

/// What may follow the words before the cursor, and fits what was typed of the next.
pub(crate) fn choices(grammar: &Command, before: &str) -> Vec<Choice> {
    let (typed, partial) = words(before);
    let partial = partial.unwrap_or_default();
    let Some(place) = Place::behind(grammar, &typed) else {
        return Vec::new();
    };
    let mut choices = place.choices(&partial);
    choices.retain(|choice| !choice.is_literal() || choice.word.starts_with(&partial));
    choices
}

/// What Tab does.
pub(crate) fn complete(grammar: &Command, before: &str) -> Completion {
    let partial = words(before).1.unwrap_or_default();
    let mut literal = choices(grammar, before);
    literal.retain(Choice::is_literal);
    let Some(first) = literal.first() else {
        return Completion::None;
    };
    let mut common = first.word.clone();
    for choice in &literal {
        let same = common.chars().zip(choice.word.chars());
        common = same.take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    }
    let missing = common.get(partial.len()..).unwrap_or_default();
    match literal.len() {
        1 => Completion::Insert(format!("{missing} ")),
        _ if missing.is_empty() => Completion::Choose(literal),
        _ => Completion::Insert(missing.to_owned()),
    }
}

/// A table for people.
pub(crate) fn explain(choices: &[Choice]) -> String {
    let width = choices.iter().map(|choice| choice.word.chars().count());
    let width = width.max().unwrap_or(0);
    let mut text = String::new();
    for Choice { word, about } in choices {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", format!("  {word:<width$}  {about}").trim_end());
    }
    if choices.is_empty() {
        text.push_str("  nothing that is known may come here; help lists the commands\n");
    }
    text
}

/// How far into the grammar the words of a line lead.
struct Place<'a> {
    command: &'a Command,
    /// The option whose value comes next.
    option: Option<&'a Arg>,
    /// Positional words that are there already.
    positionals: usize,
    /// Options that are there already.
    given: Vec<&'a str>,
}

impl<'a> Place<'a> {
    fn behind(grammar: &'a Command, words: &[String]) -> Option<Self> {
        let mut place = Place {
            command: grammar,
            option: None,
            positionals: 0,
            given: Vec::new(),
        };
        for word in words {
            place.step(word)?;
        }
        Some(place)
    }

    fn step(&mut self, word: &str) -> Option<()> {
        if self.option.take().is_some() {
            return Some(());
        }
        if let Some(name) = word.strip_prefix("--") {
            let (name, value) = name
                .split_once('=')
                .map_or((name, None), |(n, v)| (n, Some(v)));
            let mut options = self.command.get_arguments();
            let option = options.find(|option| option.get_long() == Some(name))?;
            self.given.extend(option.get_long());
            if value.is_none() && option.get_action().takes_values() {
                self.option = Some(option);
            }
            return Some(());
        }
        match self.subcommand(word) {
            Some(command) => {
                self.command = command;
                self.positionals = 0;
                self.given.clear();
            }
            None if self.command.has_subcommands() => return None,
            None => self.positionals += 1,
        }
        Some(())
    }

    /// By its name or the only one that begins so.
    fn subcommand(&self, word: &str) -> Option<&'a Command> {
        if let Some(command) = self.command.find_subcommand(word) {
            return Some(command);
        }
        let begins = |command: &&Command| command.get_name().starts_with(word);
        let mut fitting = self.command.get_subcommands().filter(begins);
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }

    fn choices(&self, partial: &str) -> Vec<Choice> {
        if let Some(option) = self.option {
            return values(option);
        }
        let subcommands = self.command.get_subcommands();
        let mut choices: Vec<Choice> = subcommands
            .filter(|command| !command.is_hide_set())
            .map(|command| Choice::new(command.get_name(), command.get_about()))
            .collect();
        let mut positionals = self.command.get_positionals();
        let next = positionals.nth(self.positionals).or_else(|| {
            let last = self.command.get_positionals().last();
            last.filter(|last| last.get_num_args().is_some_and(|n| n.max_values() > 1))
        });
        if !partial.starts_with('-') {
            choices.extend(next.into_iter().flat_map(values));
        }
        let options = self.command.get_arguments();
        let options = options.filter(|arg| !arg.is_positional() && !arg.is_hide_set());
        for option in options {
            if let Some(long) = option.get_long().filter(|long| !self.given.contains(long)) {
                choices.push(Choice::new(format!("--{long}"), option.get_help()));
            }
        }
        let is_whole =
            !self.command.is_subcommand_required_set() && !next.is_some_and(Arg::is_required_set);
        if is_whole && partial.is_empty() {
            choices.push(Choice {
                word: "<Enter>".to_owned(),
                about: "carry it out".to_owned(),
            });
        }
        choices
    }
}

/// What a word may be.
fn values(arg: &Arg) -> Vec<Choice> {
    let possible = arg.get_possible_values();
    if possible.is_empty() {
        let name = arg.get_value_names().and_then(|names| names.first());
        let name = name.map_or_else(|| arg.get_id().to_string(), ToString::to_string);
        return vec![Choice::new(
            format!("<{}>", name.to_uppercase()),
            arg.get_help(),
        )];
    }
    let visible = possible.iter().filter(|value| !value.is_hide_set());
    visible
        .map(|value| Choice::new(value.get_name(), value.get_help()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{ArgAction, value_parser};

    fn grammar() -> Command {
        let json = || Arg::new("json").long("json").action(ArgAction::SetTrue);
        let view = Arg::new("view")
            .long("view")
            .value_parser(["audit", "activity"]);
        let limit = Arg::new("limit").long("limit").value_name("N");
        let limit = limit
            .value_parser(value_parser!(u64))
            .help("At most so many");
        let show = Command::new("show")
            .about("Show something")
            .subcommand_required(true);
        let show = show
            .subcommand(
                Command::new("health")
                    .about("Show health\nAnd more.")
                    .arg(json()),
            )
            .subcommand(Command::new("history"))
            .subcommand(Command::new("log").arg(view).arg(limit))
            .subcommand(Command::new("secret").hide(true));
        let state = Arg::new("state").required(true).value_parser(["on", "off"]);
        let mut grammar = Command::new("")
            .disable_help_flag(true)
            .disable_help_subcommand(true)
            .subcommand_required(true)
            .subcommand(show)
            .subcommand(Command::new("status").disable_help_flag(true))
            .subcommand(Command::new("mode").disable_help_flag(true).arg(state));
        grammar.build();
        grammar
    }

    fn offered(before: &str) -> Vec<String> {
        let choices = choices(&grammar(), before);
        choices.into_iter().map(|choice| choice.word).collect()
    }

    fn tab(before: &str) -> Completion {
        complete(&grammar(), before)
    }

    fn inserts(text: &str) -> Completion {
        Completion::Insert(text.to_owned())
    }

    #[test]
    fn a_word_is_completed_as_far_as_it_is_certain() {
        assert_eq!(tab("sh"), inserts("ow "));
        assert_eq!(
            tab("show h"),
            Completion::Choose(choices(&grammar(), "show h"))
        );
        assert_eq!(tab("show he"), inserts("alth "));
        assert_eq!(tab("show hi"), inserts("story "));
        assert_eq!(
            tab("show log --view a"),
            Completion::Choose(choices(&grammar(), "show log --view a"))
        );
        assert_eq!(tab("show log --view au"), inserts("dit "));
        assert_eq!(tab("show log --vi"), inserts("ew "));
        assert_eq!(
            tab("mode o"),
            Completion::Choose(choices(&grammar(), "mode o"))
        );
        assert_eq!(tab("nonsense "), Completion::None);
        assert_eq!(
            tab("show log --limit "),
            Completion::None,
            "only the user knows a number"
        );
    }

    #[test]
    fn what_may_come_is_what_the_grammar_takes() {
        assert_eq!(offered("show "), ["health", "history", "log"]);
        assert_eq!(
            offered("sh h"),
            ["health", "history"],
            "a beginning is enough"
        );
        assert_eq!(offered("mode "), ["on", "off"]);
        assert_eq!(offered("mode on "), ["<Enter>"]);
        assert_eq!(offered("status "), ["<Enter>"]);
        assert_eq!(offered("show log --limit "), ["<N>"]);
        let behind = offered("show log --limit 5 ");
        assert!(!behind.contains(&"--limit".to_owned()), "{behind:?}");
        assert!(behind.contains(&"--view".to_owned()), "{behind:?}");
        assert!(offered("show nonsense ").is_empty());
    }

    #[test]
    fn an_explanation_is_a_table() {
        let text = explain(&choices(&grammar(), "show "));
        assert_eq!(text, "  health   Show health\n  history\n  log\n");
    }

    #[test]
    fn quotes_keep_words_together() {
        let (typed, partial) = words("  client add \"a b\" ");
        assert_eq!(
            (typed.join("|").as_str(), partial),
            ("client|add|a b", None)
        );
        assert_eq!(words("\"a b").1.as_deref(), Some("a b"));
        assert_eq!(words("\"\"").1.as_deref(), Some(""));
    }
}
