//! Pages that show people what Keynudge found: what the scan's report and the demo's page have in common.
//!
//! A page is one file that needs no other, no network and no script, since it is mailed around and opened years later.

pub mod ages;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, UndefinedBehavior};
use serde::Serialize;

/// What a page begins and ends with: macros that it may call, and the document that holds its `title`, `style` and `main`.
const PARTS: &str = include_str!("../templates/parts.html");
const BASE: &str = include_str!("../templates/base.html");
/// The name tells the template engine that everything is to be escaped for HTML.
const PAGE_NAME: &str = "page.html";

/// A number that a page begins with.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    name: &'static str,
    value: String,
    /// The id of the part of the page that takes it apart.
    link: Option<&'static str>,
    is_main: bool,
}

impl Figure {
    /// This many of them.
    #[must_use]
    pub fn new(name: &'static str, value: String) -> Self {
        Self { name, value, link: None, is_main: false }
    }

    /// Leads to where it is taken apart: an element with this id.
    #[must_use]
    pub fn with_link(self, id: &'static str) -> Self {
        Self { link: Some(id), ..self }
    }

    /// One of the few that matter most, shown larger.
    #[must_use]
    pub fn main(self) -> Self {
        Self { is_main: true, ..self }
    }
}

/// The page that `template` makes of `content`; it sets `title`, `style` and `main`. Whatever the content says is escaped, and what the template asks for and
/// the content has not is an error.
pub fn render(template: &str, content: &impl Serialize) -> Result<String, Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    // One text, since templates that include others are not there (see Cargo.toml).
    let whole = [PARTS, template, BASE].concat();
    templates.add_template(PAGE_NAME, &whole)?;
    let page = templates.get_template(PAGE_NAME)?.render(Serde(content))?;
    Ok(page.trim_start().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const PAGE: &str = "{% set title %}{% endset %}{% set style %}{% endset %}\n\
                        {% set main %}<p title=\"{{ said }}\">{{ said }}</p>{% endset %}";

    #[test]
    fn whatever_is_said_is_escaped() {
        let said = BTreeMap::from([("said", r#""><script src='//evil.test'></script>&lt;"#)]);
        let page = render(PAGE, &said).unwrap();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&quot;&gt;&lt;script src=&#x27;&#x2f;&#x2f;evil.test&#x27;&gt;"), "{page}");
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(render(PAGE, &BTreeMap::from([("sayd", "")])).is_err());
    }
}
