//! Whether a contender mailed whom it had to.

use std::collections::{BTreeMap, BTreeSet};

use keynudge_testbed::outbox::{Mail, key_ids_in};
use keynudge_testbed::population::{Expectation, Owner, Population};

/// One line for each owner who was not mailed exactly once, about exactly the stale keys where the mails name any, and for
/// each mail to somebody else. Each owner needs an address of their own.
pub(crate) fn mistakes(population: &Population, mails: &[Mail], name_keys: bool) -> Vec<String> {
    let mut by_recipient: BTreeMap<String, Vec<&Mail>> = BTreeMap::new();
    for mail in mails {
        by_recipient.entry(mail.to.join(", ")).or_default().push(mail);
    }
    let mut mistakes = Vec::new();
    for (to, owner) in to_mail(population) {
        let got = by_recipient.remove(to).unwrap_or_default();
        match got[..] {
            [mail] if !name_keys || is_about(mail, owner) => {}
            [mail] => mistakes.push(format!("the mail to {to} is about other keys: {}", mail.text)),
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

/// A mail may be text, HTML, or both.
fn is_about(mail: &Mail, owner: &Owner) -> bool {
    let mut named = mail.key_ids();
    named.extend(key_ids_in(mail.html.as_deref().unwrap_or_default()));
    named == owner.keys_to_mail().into_iter().collect::<BTreeSet<_>>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::population;

    fn right_mails(population: &Population) -> Vec<Mail> {
        let mails = to_mail(population).map(|(to, owner)| Mail {
            source: String::new(),
            to: vec![to.to_owned()],
            subject: String::new(),
            text: owner.keys_to_mail().join(" "),
            html: None,
        });
        mails.collect()
    }

    #[test]
    fn the_right_mails_are_no_mistake() {
        let population = population(40, 10, 1);
        let mails = right_mails(&population);
        assert_eq!(mails.len(), 10);
        assert_eq!(mistakes(&population, &mails, true), [""; 0]);
    }

    #[test]
    fn a_missing_a_second_and_a_stray_mail_are_mistakes() {
        let population = population(40, 10, 1);
        let mut mails = right_mails(&population);
        let second = mails[1].clone();
        mails[0].to = vec!["stranger@corp.example".to_owned()];
        mails.push(second);
        let found = mistakes(&population, &mails, false);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_mail_about_another_key_is_a_mistake_where_mails_name_keys() {
        let population = population(40, 10, 1);
        let mut mails = right_mails(&population);
        mails[0].text = mails[1].text.clone();
        assert_eq!(mistakes(&population, &mails, true).len(), 1);
        assert_eq!(mistakes(&population, &mails, false).len(), 0);
    }
}
