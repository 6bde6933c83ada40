//! What a handler takes: arguments as they came, or deserialised into a tuple, one type for each.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::args::{Args, ArgsRefused};

/// What a handler of an event can take as its second parameter: [`Args`], as they came, or a tuple of up to eight types that
/// serde deserialises, one for each argument.
///
/// An argument that is not there reads as `null`, so that an `Option` at the end may be left out by clients; arguments beyond
/// the tuple are ignored, as JavaScript does. A client whose arguments do not fit is answered `bad_request`, with the number
/// of the argument (the first is 0) and what was expected, and the handler does not run.
///
/// ```no_run
/// use vedfolnir::app::{App, Reply, Socket};
///
/// #[derive(serde::Deserialize)]
/// struct Options {
///     limit: u32,
/// }
///
/// let app = App::builder().namespace("/", |ns| {
///     ns.on("search", |_: Socket, (words, options): (String, Option<Options>)| async move {
///         let limit = options.map_or(10, |options| options.limit);
///         Reply::args(&(words, limit))
///     })
/// });
/// # drop(app.build());
/// ```
pub trait FromArgs: Sized {
    /// Reads them.
    ///
    /// # Errors
    /// Which argument is missing or not as expected.
    fn from_args(args: &Args) -> Result<Self, ArgsRefused>;
}

impl FromArgs for Args {
    fn from_args(args: &Args) -> Result<Self, ArgsRefused> {
        Ok(args.clone())
    }
}

/// Whatever came is ignored.
impl FromArgs for () {
    fn from_args(_: &Args) -> Result<Self, ArgsRefused> {
        Ok(())
    }
}

fn argument<T: DeserializeOwned>(arguments: &[&RawValue], index: usize) -> Result<T, ArgsRefused> {
    match arguments.get(index) {
        Some(argument) => serde_json::from_str(argument.get()).map_err(|error| ArgsRefused::Unexpected(index, error)),
        None => serde_json::from_str("null").map_err(|_| ArgsRefused::Missing(index)),
    }
}

macro_rules! from_args_for_tuples {
    ($($type:ident $index:literal),+) => {
        impl<$($type: DeserializeOwned),+> FromArgs for ($($type,)+) {
            fn from_args(args: &Args) -> Result<Self, ArgsRefused> {
                let arguments = args.arguments();
                Ok(($(argument::<$type>(&arguments, $index)?,)+))
            }
        }
    };
}

from_args_for_tuples!(A 0);
from_args_for_tuples!(A 0, B 1);
from_args_for_tuples!(A 0, B 1, C 2);
from_args_for_tuples!(A 0, B 1, C 2, D 3);
from_args_for_tuples!(A 0, B 1, C 2, D 3, E 4);
from_args_for_tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
from_args_for_tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
from_args_for_tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read<T: FromArgs>(json: &'static str) -> Result<T, ArgsRefused> {
        T::from_args(&Args::new(Bytes::from_static(json.as_bytes()), Vec::new()))
    }

    #[test]
    fn arguments_become_a_tuple_and_more_of_them_are_ignored() {
        assert_eq!(read::<(String, u8)>(r#"["e","x",7]"#).unwrap(), ("x".to_owned(), 7));
        assert_eq!(read::<(String,)>(r#"["e","x",7]"#).unwrap().0, "x");
        read::<()>(r#"["e",1]"#).unwrap();
        assert_eq!(read::<Args>(r#"["e",1]"#).unwrap().len(), 1);
    }

    #[test]
    fn the_argument_that_does_not_fit_is_named() {
        assert!(matches!(read::<(String, u8)>(r#"["e","x"]"#), Err(ArgsRefused::Missing(1))));
        assert!(matches!(read::<(String, u8)>(r#"["e","x",256]"#), Err(ArgsRefused::Unexpected(1, _))));
        assert!(matches!(read::<(String,)>(r#"["e",null]"#), Err(ArgsRefused::Unexpected(0, _))));
    }

    #[test]
    fn an_option_may_be_left_out() {
        assert_eq!(read::<(u8, Option<u8>)>(r#"["e",1]"#).unwrap(), (1, None));
        assert_eq!(read::<(u8, Option<u8>)>(r#"["e",1,null]"#).unwrap(), (1, None));
        assert_eq!(read::<(u8, Option<u8>)>(r#"["e",1,2]"#).unwrap(), (1, Some(2)));
        assert!(read::<(u8, Option<u8>)>(r#"["e",1,"2"]"#).is_err(), "but not be something else");
    }
}
