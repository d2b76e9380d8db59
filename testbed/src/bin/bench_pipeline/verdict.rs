//! Whether a contender mailed whom it had to.

use std::collections::{BTreeMap, BTreeSet};

use keynudge_testbed::outbox::{Mail, key_ids_in};
use keynudge_testbed::population::{Expectation, Owner, Population};

/// What a contender's mails say of what they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// The stale keys' ids.
    Keys,
    /// The name of the user who has them.
    User,
}

/// One line for each owner who was not mailed exactly once, about exactly the stale keys or by the user's name, and for each
/// mail to somebody else. Each owner needs an address of their own.
pub(crate) fn mistakes(population: &Population, mails: &[Mail], named: Named) -> Vec<String> {
    let mut by_recipient: BTreeMap<String, Vec<&Mail>> = BTreeMap::new();
    for mail in mails {
        by_recipient.entry(mail.to.join(", ")).or_default().push(mail);
    }
    let mut mistakes = Vec::new();
    for (to, owner) in to_mail(population) {
        let got = by_recipient.remove(to).unwrap_or_default();
        match got[..] {
            [mail] if is_about(mail, owner, named) => {}
            [mail] => mistakes.push(format!("the mail to {to} is about something else: {}", body(mail))),
            _ => mistakes.push(format!("{} mails to {to}", got.len())),
        }
    }
    mistakes.extend(by_recipient.into_keys().map(|other| format!("a mail to {other}, who had to get none")));
    mistakes
}

fn to_mail(population: &Population) -> impl Iterator<Item = (&str, &Owner)> {
    population.owners.iter().filter_map(|owner| match &owner.expectation {
        Expectation::Mailed { to, .. } => Some((to.as_str(), owner)),
        _ => None,
    })
}

fn is_about(mail: &Mail, owner: &Owner, named: Named) -> bool {
    let body = body(mail);
    match named {
        Named::Keys => key_ids_in(&body) == owner.keys_to_mail().into_iter().collect::<BTreeSet<_>>(),
        Named::User => words(&body).any(|word| word == owner.user.name),
    }
}

/// A mail may be text, HTML, or both.
fn body(mail: &Mail) -> String {
    [mail.text.as_str(), mail.html.as_deref().unwrap_or_default()].join("\n")
}

/// Whatever could be a user's name: one may be another's beginning.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"+=.@_-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right_mails(population: &Population) -> Vec<Mail> {
        let mails = to_mail(population).map(|(to, owner)| Mail {
            source: String::new(),
            to: vec![to.to_owned()],
            subject: String::new(),
            text: format!("<li>{}: {}</li>", owner.user.name, owner.keys_to_mail().join(" ")),
            html: None,
        });
        mails.collect()
    }

    #[test]
    fn the_right_mails_are_no_mistake() {
        let population = Population::plain(40, 10, 1);
        let mails = right_mails(&population);
        assert_eq!(mails.len(), 10);
        assert_eq!(mistakes(&population, &mails, Named::Keys), [""; 0]);
        assert_eq!(mistakes(&population, &mails, Named::User), [""; 0]);
    }

    #[test]
    fn a_missing_a_second_and_a_stray_mail_are_mistakes() {
        let population = Population::plain(40, 10, 1);
        let mut mails = right_mails(&population);
        let second = mails[1].clone();
        mails[0].to = vec!["stranger@corp.example".to_owned()];
        mails.push(second);
        let found = mistakes(&population, &mails, Named::User);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_mail_about_another_key_or_user_is_a_mistake() {
        let population = Population::plain(40, 10, 1);
        let mut mails = right_mails(&population);
        mails[0].text = mails[1].text.clone();
        for named in [Named::Keys, Named::User] {
            assert_eq!(mistakes(&population, &mails, named).len(), 1, "{named:?}");
        }
    }

    #[test]
    fn a_name_that_goes_on_is_another_users() {
        let population = Population::plain(40, 10, 1);
        let mut mails = right_mails(&population);
        let (_, owner) = to_mail(&population).next().unwrap();
        mails[0].text = format!("{}0: a key", owner.user.name);
        assert_eq!(mistakes(&population, &mails, Named::User).len(), 1);
    }
}
