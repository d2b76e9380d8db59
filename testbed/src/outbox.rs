//! What came out of the pipeline, counted where it arrived: mails at SES, dead letters in their queues.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::aws::Client;
use crate::deployment::sender;
use crate::population::{Expectation, Owner, Population};

/// A mail SES took.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Sent")]
pub struct Mail {
    /// Who it is from.
    pub source: String,
    /// Whom it is to. Whoever gets a copy follows, marked `cc:` or `bcc:`, so that no comparison can overlook it.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Its text part.
    pub text: String,
    /// Its HTML part.
    pub html: Option<String>,
}

impl Mail {
    /// The access keys its text names. They tell which owner it is about, since an address may be that of many.
    #[must_use]
    pub fn key_ids(&self) -> BTreeSet<&str> {
        key_ids_in(&self.text)
    }
}

/// A mail as the emulator shows it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    source: String,
    to: Vec<String>,
    #[serde(rename = "CC")]
    cc: Vec<String>,
    #[serde(rename = "BCC")]
    bcc: Vec<String>,
    subject: String,
    body_text: String,
    body_html: Option<String>,
}

impl From<Sent> for Mail {
    fn from(Sent { source, mut to, cc, bcc, subject, body_text, body_html }: Sent) -> Self {
        to.extend(cc.iter().map(|address| format!("cc:{address}")));
        to.extend(bcc.iter().map(|address| format!("bcc:{address}")));
        Self { source, to, subject, text: body_text, html: body_html }
    }
}

/// The ids of long-term access keys in a text: `AKIA` and at least 12 more letters or digits.
#[must_use]
pub fn key_ids_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.starts_with("AKIA") && word.len() >= 16).collect()
}

/// Every mail an account has sent.
///
/// # Errors
///
/// Whatever the emulator answers.
pub async fn mails(aws: &Client) -> Result<Vec<Mail>> {
    let answer: OfAccounts<Vec<Mail>> = aws.inspect("ses/messages").await?;
    Ok(answer.messages.into_values().flatten().collect())
}

/// A message in a queue, looked at without receiving it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Message {
    /// Its body.
    pub body: String,
    /// Its attributes.
    pub message_attributes: BTreeMap<String, Value>,
    /// Whether it could be received now.
    pub is_visible: bool,
    /// How often it was received.
    pub receive_count: u32,
}

impl Message {
    /// One of its attributes.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.message_attributes.get(name)?["StringValue"].as_str()
    }
}

/// The content of all queues of an account, by the queues' names.
#[derive(Clone, Debug, Default)]
pub struct Queues(BTreeMap<String, Vec<Message>>);

impl Queues {
    /// Looks into all queues.
    ///
    /// # Errors
    ///
    /// Whatever the emulator answers.
    pub async fn of(aws: &Client) -> Result<Self> {
        type OfRegions = BTreeMap<String, BTreeMap<String, Vec<Message>>>;
        let answer: OfAccounts<OfRegions> = aws.inspect("sqs/messages").await?;
        let queues = answer.messages.into_values().flatten().flat_map(|(_region, queues)| queues);
        Ok(Self(queues.map(|(url, messages)| (queue_name(&url).to_owned(), messages)).collect()))
    }

    /// What is in a queue, visible or in flight.
    #[must_use]
    pub fn messages(&self, queue_url: &str) -> &[Message] {
        self.0.get(queue_name(queue_url)).map_or(&[], Vec::as_slice)
    }
}

/// A queue's name is the last part of its URL; the emulator is known by more than one host name.
#[must_use]
pub fn queue_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

#[derive(Deserialize)]
struct OfAccounts<T> {
    messages: BTreeMap<String, T>,
}

/// What is wrong with the mails, in the light of what should have been mailed.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// One line for each owner who was missed or mailed wrongly, and for each mail to nobody.
    pub mistakes: Vec<String>,
    /// Those among them that are neither a missing mail nor a second one.
    pub wrong: Vec<String>,
    /// Owners who had to be mailed, and never were.
    pub lost: usize,
    /// Mails beyond an owner's first.
    pub duplicates: usize,
    /// The same by user id, without the owners who got no second mail.
    pub duplicates_of: BTreeMap<String, u64>,
}

impl Verdict {
    /// Compares what was mailed with what had to be. Owners may share a name, in different accounts.
    #[must_use]
    pub fn on(population: &Population, mails: &[Mail]) -> Self {
        let mut verdict = Self::default();
        let mut by_owner: BTreeMap<Identity<'_>, Vec<&Mail>> = BTreeMap::new();
        let owner_of_key = population.owner_of_key();
        for mail in mails {
            let keys = mail.key_ids().into_iter();
            let owners: BTreeSet<Identity<'_>> =
                keys.map(|key| owner_of_key.get(key).map_or(NOBODY, |owner| identity(owner))).collect();
            match owners.first() {
                Some(&owner) if owners.len() == 1 => by_owner.entry(owner).or_default().push(mail),
                _ => verdict.wrong.push(format!(
                    "a mail to {:?} is about {} owners: {owners:?}",
                    mail.to,
                    owners.len()
                )),
            }
        }
        for owner in &population.owners {
            let mails = by_owner.remove(&identity(owner)).unwrap_or_default();
            verdict.count_duplicates(owner, mails.len().saturating_sub(1));
            verdict.judge(owner, &mails);
        }
        let about_nobody = by_owner.into_values().map(|mails| format!("about nobody: {mails:?}"));
        verdict.wrong.extend(about_nobody);
        verdict.mistakes.extend_from_slice(&verdict.wrong);
        verdict
    }

    /// The ids of the users who got more second mails than `unknown_outcomes` of mails to this very user
    /// explain. Another owner's unknown outcome explains none.
    #[must_use]
    pub fn unexplained_duplicates(&self, unknown_outcomes: &BTreeMap<String, u64>) -> Vec<&str> {
        let explained = |user_id: &str| unknown_outcomes.get(user_id).copied().unwrap_or_default();
        let unexplained = self.duplicates_of.iter().filter(|(user_id, second)| **second > explained(user_id));
        unexplained.map(|(user_id, _)| user_id.as_str()).collect()
    }

    fn count_duplicates(&mut self, owner: &Owner, duplicates: usize) {
        if duplicates > 0 {
            self.duplicates += duplicates;
            *self.duplicates_of.entry(owner.user.id.clone()).or_default() += duplicates as u64;
        }
    }

    /// Adds what is wrong with what an owner got, if anything is.
    fn judge(&mut self, owner: &Owner, mails: &[&Mail]) {
        let got: Vec<Essence<'_>> = mails.iter().map(|mail| Essence::of(mail)).collect();
        let right = match &owner.expectation {
            Expectation::Mailed { to, .. } => Some(Essence::right(to, owner)),
            _ => None,
        };
        let mistake = || {
            format!("{}: {:?}, so expected {right:?}, but got {got:?}", owner.user.name, owner.expectation)
        };
        if got.iter().any(|mail| Some(mail) != right.as_ref()) {
            self.wrong.push(mistake());
        } else if got.is_empty() && right.is_some() {
            self.lost += 1;
            self.mistakes.push(mistake());
        } else if got.len() > 1 {
            self.mistakes.push(mistake());
        }
    }
}

/// A user's name and id: names are told apart by their account, ids are never the same.
type Identity<'a> = (&'a str, &'a str);

const NOBODY: Identity<'_> = ("nobody", "");

fn identity(owner: &Owner) -> Identity<'_> {
    (&owner.user.name, &owner.user.id)
}

/// All of a mail that can be right or wrong here.
#[derive(Debug, PartialEq, Eq)]
struct Essence<'a> {
    from: String,
    to: Vec<String>,
    keys_in_text: BTreeSet<&'a str>,
    keys_in_html: BTreeSet<&'a str>,
}

impl<'a> Essence<'a> {
    fn of(mail: &'a Mail) -> Self {
        Self {
            from: mail.source.clone(),
            to: mail.to.clone(),
            keys_in_text: mail.key_ids(),
            keys_in_html: key_ids_in(mail.html.as_deref().unwrap_or_default()),
        }
    }

    /// What an owner must get.
    fn right(to: &str, owner: &'a Owner) -> Self {
        let keys: BTreeSet<&str> = owner.keys_to_mail().into_iter().collect();
        Self { from: sender(), to: vec![to.to_owned()], keys_in_text: keys.clone(), keys_in_html: keys }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::population::Setting;

    fn mail_to(to: &str, keys: &[&str]) -> Mail {
        Mail {
            source: "keynudge@corp.example".to_owned(),
            to: vec![to.to_owned()],
            subject: "Rotate".to_owned(),
            text: format!("Your keys: {}.", keys.join(", ")),
            html: Some(format!("<p>Your keys: <b>{}</b></p>", keys.join("</b>, <b>"))),
        }
    }

    /// The mails a faultless run sends.
    fn right_mails(population: &Population) -> Vec<Mail> {
        let mailed = population.owners.iter().filter_map(|owner| match &owner.expectation {
            Expectation::Mailed { to, .. } => Some(mail_to(to, &owner.keys_to_mail())),
            _ => None,
        });
        mailed.collect()
    }

    fn population() -> Population {
        Population::mixed(&Setting::default(), 60, 3)
    }

    #[test]
    fn the_right_mails_are_no_mistake() {
        let population = population();
        let verdict = Verdict::on(&population, &right_mails(&population));
        assert_eq!((verdict.mistakes.as_slice(), verdict.duplicates), ([].as_slice(), 0));
    }

    #[test]
    fn owners_of_several_accounts_are_told_apart_by_their_keys() {
        let [mut one, mut other] = [3, 4].map(|seed| Population::mixed(&Setting::default(), 60, seed));
        let name = one.owners[6].user.name.clone();
        other.owners[6].user.name.clone_from(&name);
        let all = Population::union([&one, &other]);
        let mut mails = right_mails(&all);
        assert!(Verdict::on(&all, &mails).mistakes.is_empty());
        let key = one.owners.swap_remove(6).user.keys.swap_remove(0).id;
        mails.retain(|mail| !mail.key_ids().contains(&*key));
        let verdict = Verdict::on(&all, &mails);
        assert_eq!((verdict.lost, verdict.mistakes.len()), (1, 1), "{verdict:?}");
    }

    #[test]
    fn a_missing_mail_is_noticed() {
        let population = population();
        let mails = right_mails(&population);
        let verdict = Verdict::on(&population, &mails[1..]);
        assert_eq!((verdict.mistakes.len(), verdict.lost, verdict.wrong.len()), (1, 1, 0));
    }

    #[test]
    fn a_second_mail_is_a_mistake_and_a_duplicate() {
        let population = population();
        let mut mails = right_mails(&population);
        mails.push(mails[0].clone());
        let verdict = Verdict::on(&population, &mails);
        assert_eq!((verdict.mistakes.len(), verdict.duplicates, verdict.wrong.len()), (1, 1, 0));
    }

    #[test]
    fn a_second_mail_is_explained_by_an_unknown_outcome_of_the_same_owner_alone() {
        let population = population();
        let mut mails = right_mails(&population);
        let twice = [mails[0].clone(), mails[1].clone()];
        let [jane, john] = twice.each_ref().map(|mail| {
            let owner = population.owner_of_key()[mail.key_ids().first().unwrap()];
            owner.user.id.as_str()
        });
        mails.extend(twice.clone());
        let unexplained = |mails: &[Mail], unknown: &[(&str, u64)]| -> Vec<String> {
            let unknown = unknown.iter().map(|(user_id, n)| ((*user_id).to_owned(), *n)).collect();
            let verdict = Verdict::on(&population, mails);
            verdict.unexplained_duplicates(&unknown).into_iter().map(str::to_owned).collect()
        };
        assert_eq!(unexplained(&mails, &[(jane, 1), (john, 1)]), [""; 0]);
        assert_eq!(unexplained(&mails, &[(jane, 2)]), [john], "as many outcomes, and not of this owner");
        mails.push(twice[0].clone());
        assert_eq!(unexplained(&mails, &[(jane, 1), (john, 2)]), [jane], "a third mail");
    }

    #[test]
    fn a_wrong_address_and_a_missing_key_are_noticed() {
        let population = population();
        let mut mails = right_mails(&population);
        mails[0].to = vec!["somebody@corp.example".to_owned()];
        let pair = mails.iter_mut().find(|mail| mail.key_ids().len() == 2).unwrap();
        let one_key = pair.key_ids().into_iter().next().unwrap().to_owned();
        pair.text = one_key;
        let verdict = Verdict::on(&population, &mails);
        assert_eq!((verdict.mistakes.len(), verdict.wrong.len(), verdict.lost), (2, 2, 0));
    }

    #[test]
    fn a_wrong_sender_and_an_html_part_without_the_keys_are_noticed() {
        let population = population();
        let mut mails = right_mails(&population);
        mails[0].source = "somebody@corp.example".to_owned();
        mails[1].html = Some("<p>Your keys.</p>".to_owned());
        mails[2].html = None;
        assert_eq!(Verdict::on(&population, &mails).mistakes.len(), 3);
    }

    #[test]
    fn whoever_gets_a_copy_is_among_the_recipients() {
        let sent = json!({
            "Source": "keynudge@corp.example",
            "To": ["ada@corp.example"],
            "CC": ["bob@corp.example"],
            "BCC": ["eve@corp.example"],
            "Subject": "Rotate",
            "BodyText": "Your keys.",
            "BodyHtml": "",
        });
        let mail: Mail = serde_json::from_value(sent).unwrap();
        assert_eq!(mail.to, ["ada@corp.example", "cc:bob@corp.example", "bcc:eve@corp.example"]);
    }

    #[test]
    fn a_mail_about_two_owners_is_noticed() {
        let population = population();
        let mut mails = right_mails(&population);
        let second = mails.remove(1);
        mails[0].text += &second.text;
        assert_eq!(Verdict::on(&population, &mails).mistakes.len(), 3);
    }

    #[test]
    fn key_ids_are_found_wherever_they_stand() {
        let text = "AKIAABCDEFGHIJKLMNOP, (AKIA23456723456723AB) <b>AKIAZZZZZZZZZZZZZZZZ</b> AKIA";
        assert_eq!(key_ids_in(text).len(), 3);
    }
}
