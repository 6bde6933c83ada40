//! The options of `vedfolnir start`, for whoever parses the command line.

use super::schema::{CATEGORIES, Describe};

/// An option that sets something.
#[derive(Clone, Debug)]
pub struct OptionSpec {
    /// Without dashes.
    pub option: String,
    /// The environment variable that does the same.
    pub variable: String,
    /// What it is for, and its default.
    pub help: String,
    /// The category that it belongs to.
    pub heading: &'static str,
}

/// Every option, in the order of the documentation; secrets have one more, for a file.
pub fn options() -> impl Iterator<Item = OptionSpec> {
    CATEGORIES
        .iter()
        .flat_map(|category| category.settings.iter().flat_map(move |setting| of_setting(category.title, *setting)))
}

fn of_setting(heading: &'static str, setting: &'static dyn Describe) -> impl Iterator<Item = OptionSpec> {
    let about = setting.about();
    let help = match about.later {
        Some(what) => format!("{} (not in this version: {what})", about.help),
        None => format!("{} [default: {}]", about.help, about.default.in_words()),
    };
    let file = about.in_file.then(|| OptionSpec {
        option: format!("{}-file", about.option),
        variable: format!("{}_FILE", about.name),
        help: format!("File that holds --{}", about.option),
        heading,
    });
    let value = OptionSpec { option: about.option.to_owned(), variable: about.name.to_owned(), help, heading };
    std::iter::once(value).chain(file)
}
