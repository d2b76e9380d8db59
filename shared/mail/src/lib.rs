//! The mail's templates: the built-in ones ([`built_in()`]), and an organization's own in their place ([`Templates`]).
//!
//! Own templates are tried out on made-up reminders of every kind ([`made_up()`]) before one is mailed. Whatever is wrong with
//! them, a mail is written: by the built-in ones.
//!
//! `templates/` holds those: the subject, the plain text, and the HTML as MJML, which `build.rs` compiles, so that a mistake
//! in it is found when a function is built. `docs/MAIL.md` is for those who write their own.

mod built_in;
mod made_up;
mod own;

pub use built_in::{built_in, source};
pub use made_up::{MadeUp, made_up};
pub use own::{Problem, Rendered, Templates, file_name, unknown_files};
