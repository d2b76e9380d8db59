//! The templates of `templates/`, compiled in.

use keynudge_core::mail::{MailTemplates, Part, TemplateSources};

/// The built-in templates.
///
/// # Panics
///
/// Never: `build.rs` has compiled them before.
#[must_use]
pub fn built_in() -> MailTemplates {
    let [subject, text, html] = Part::ALL.map(source);
    MailTemplates::new(TemplateSources { subject, text, html })
        .expect("build.rs found no fault with the templates")
}

/// The source of a built-in template.
#[must_use]
pub fn source(part: Part) -> &'static str {
    match part {
        Part::Subject => include_str!("../templates/reminder.subject.txt"),
        Part::Text => include_str!("../templates/reminder.body.txt"),
        Part::Html => include_str!(concat!(env!("OUT_DIR"), "/reminder.body.html")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use keynudge_core::ids::EmailAddress;
    use keynudge_core::mail::{Mail, Reminder, ReminderSettings};
    use keynudge_core::messages::{AsOfLimit, Message, StaleKeys};
    use serde_json::{Value, json};

    use crate::made_up::{made_up, trials};

    /// A mail about up to three keys, in bytes before its encoding: Gmail cuts off what is longer than 102 kB, and other programs may cut earlier.
    const MAIL_BYTES_MAX: usize = 60_000;

    /// Mail programs break longer lines of plain text anywhere, or not at all.
    const TEXT_COLUMNS_MAX: usize = 72;

    /// A finding about jane.doe with one key, as it comes from the queue.
    fn finding() -> Value {
        json!({
            "v": 1, "run_id": "2026-03-01T06:00:00Z", "as_of": "2026-03-01T06:00:00Z", "mode": "live",
            "account_id": "111122223333",
            "user": {
                "name": "jane.doe", "id": "AIDACKCEVSQ6C2EXAMPLE", "arn": "arn:aws:iam::111122223333:user/jane.doe",
                "created_at": "2024-01-01T00:00:00Z"
            },
            "recipient": {"to": "jane.doe@example.com", "found_by": "tag"},
            "keys": [{
                "id": "AKIAIOSFODNN7EXAMPLE", "created_at": "2025-03-03T10:00:00Z", "age_days": 362,
                "last_used": {"at": {"at": "2026-02-27T10:00:00Z", "service": "s3", "region": "eu-west-1"}},
                "description": "Backup script on my laptop"
            }],
            "stage": 1, "checked_at": "2026-03-01T06:00:10Z"
        })
    }

    /// [`finding`] with a second key.
    fn finding_of_two(last_used: &Value) -> Value {
        let mut finding = finding();
        let second = json!({
            "id": "AKIAI44QH8DHBEXAMPLE", "created_at": "2025-11-12T10:00:00Z", "age_days": 108,
            "last_used": last_used
        });
        finding["keys"].as_array_mut().unwrap().push(second);
        finding
    }

    fn finding_with(pointer: &str, value: Value) -> Value {
        let mut finding = finding();
        *finding.pointer_mut(pointer).unwrap() = value;
        finding
    }

    /// [`finding`] in an account that is called `name`.
    fn finding_in(name: &str) -> Value {
        let mut finding = finding();
        finding["account_name"] = json!(name);
        finding
    }

    fn pilot() -> EmailAddress {
        "pilot@example.org".parse().unwrap()
    }

    fn settings() -> ReminderSettings {
        ReminderSettings {
            alert_after_days: 90.try_into().unwrap(),
            remind_every_days: 7.try_into().unwrap(),
            max_exemption_days: 90.try_into().unwrap(),
            support_contact: Some("cloud-help@example.com".parse().unwrap()),
            organization_name: None,
            policy_link: None,
            redirect_all_to: None,
        }
    }

    fn render_with(finding: &Value, settings: &ReminderSettings) -> Mail {
        let finding = StaleKeys::read(&finding.to_string(), AsOfLimit::None).unwrap();
        built_in().render(&Reminder::new(&finding, settings)).unwrap()
    }

    fn render(finding: &Value) -> Mail {
        render_with(finding, &settings())
    }

    /// Every kind of mail there is.
    fn all_mails() -> Vec<Mail> {
        let used = json!({"at": {"at": "2026-01-03T10:00:00Z", "service": "iam", "region": "N/A"}});
        let mut mails: Vec<_> = [
            finding(),
            finding_of_two(&used),
            finding_of_two(&json!("never")),
            finding_of_two(&json!(null)),
            finding_with("/keys/0/last_used", json!("never")),
            finding_with("/keys/0/description", json!(HOSTILE)),
            finding_in("payments-prod"),
            finding_in(HOSTILE),
            finding_with("/user/arn", json!("arn:aws-other:iam::111122223333:user/jane.doe")),
        ]
        .iter()
        .chain(
            &["tag", "user_name", "default_domain", "fallback"]
                .map(|by| finding_with("/recipient/found_by", json!(by))),
        )
        .map(render)
        .collect();
        for support_contact in [None, Some("#cloud-help".parse().unwrap())] {
            let settings = ReminderSettings { support_contact, redirect_all_to: Some(pilot()), ..settings() };
            mails.push(render_with(&finding(), &settings));
        }
        mails.extend(trials().iter().map(|trial| built_in().render(&trial.reminder).unwrap()));
        mails
    }

    const HOSTILE: &str = "<script>alert(\"x\")</script> & 'q' {{ 1 }}";

    /// What a reader of the HTML part sees, roughly: no head, no tags, and entities resolved.
    fn visible(html: &str) -> String {
        let (_, body) = html.split_once("<body").unwrap();
        let parts = body.split('<').map(|part| part.split_once('>').map_or(part, |(_tag, text)| text));
        let mut text: String = parts.collect();
        for (entity, character) in
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        {
            text = text.replace(entity, character);
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_key_in_use_is_to_be_replaced() {
        let mail = render(&finding());
        assert_eq!(
            mail.subject,
            "1 AWS access key of jane.doe in account 111122223333 is older than 90 days"
        );
        assert_snapshot!("one_key_text", mail.text);
        assert_snapshot!("one_key_html", mail.html);
    }

    #[test]
    fn of_two_keys_the_unused_one_is_to_be_deleted_first() {
        let mail = render(&finding_of_two(&json!("never")));
        assert_eq!(
            mail.subject,
            "2 AWS access keys of jane.doe in account 111122223333 are older than 90 days"
        );
        assert_snapshot!("two_keys_one_unused_text", mail.text);
    }

    #[test]
    fn of_two_keys_in_use_one_makes_room() {
        let used = json!({"at": {"at": "2026-01-03T10:00:00Z", "service": "iam", "region": "N/A"}});
        assert_snapshot!("two_keys_in_use_text", render(&finding_of_two(&used)).text);
    }

    #[test]
    fn of_three_keys_each_has_its_steps_and_the_last_is_replaced() {
        let used = json!({"at": {"at": "2026-01-03T10:00:00Z", "service": "iam", "region": "N/A"}});
        let mut finding = finding_of_two(&used);
        let third = json!({
            "id": "AKIA3RDKEY3RDEXAMPLE", "created_at": "2025-11-20T10:00:00Z", "age_days": 100,
            "last_used": {"at": {"at": "2026-02-01T10:00:00Z", "service": "s3", "region": "eu-west-1"}}
        });
        finding["keys"].as_array_mut().unwrap().push(third);
        let mail = render(&finding);
        for part in [mail.text, visible(&mail.html)] {
            let steps = ["AKIAI44QH8DHBEXAMPLE", "AKIA3RDKEY3RDEXAMPLE", "AKIAIOSFODNN7EXAMPLE"].map(|key| {
                part.find(&format!("delete-access-key --user-name jane.doe --access-key-id {key}"))
            });
            assert!(steps.is_sorted() && !steps.contains(&None), "{steps:?}: {part}");
            assert!(part.contains("has 3 old ones") && !part.contains("Both of"), "{part}");
            assert_eq!(part.matches("create-access-key --user").count(), 1, "{part}");
        }
    }

    #[test]
    fn an_account_is_called_by_its_name_wherever_its_number_stands() {
        let mail = render(&finding_in("payments-prod"));
        assert_eq!(
            mail.subject,
            "1 AWS access key of jane.doe in account 111122223333 (payments-prod) is older than 90 days"
        );
        assert_snapshot!("named_account_text", mail.text);
        for part in [mail.subject, mail.text, visible(&mail.html)] {
            let numbers = part.matches("111122223333").count();
            let named = part.matches("account 111122223333 (payments-prod)").count();
            assert!(numbers > 0 && numbers == named, "{part}");
        }
    }

    #[test]
    fn an_account_without_a_name_is_its_number() {
        let mail = render(&finding());
        for part in [mail.subject, mail.text, visible(&mail.html)] {
            assert!(part.contains("account 111122223333"), "{part}");
            assert!(!part.contains("111122223333 ("), "{part}");
        }
    }

    #[test]
    fn what_somebody_called_an_account_stays_text() {
        // As long as Organizations lets names be.
        let name = format!("{HOSTILE:.<50}");
        let mail = render(&finding_in(&name));
        let shown = format!("111122223333 ({name})");
        for part in [&mail.subject, &mail.text, &visible(&mail.html)] {
            assert!(part.contains(&shown), "{part}");
        }
        assert!(!mail.html.contains("<script"), "{}", mail.html);

        // A header would begin on a line of its own.
        let finding = finding_in("prod\r\nBcc: all@example.com").to_string();
        assert!(StaleKeys::read(&finding, AsOfLimit::None).is_err());
    }

    #[test]
    fn both_parts_say_all_there_is_to_say() {
        let mail = render(&finding_of_two(&json!("never")));
        let html = visible(&mail.html);
        for fact in [
            "jane.doe",
            "111122223333",
            "90 days",
            "8 March 2026",
            "cloud-help@example.com",
            "AKIAIOSFODNN7EXAMPLE",
            "3 March 2025",
            "362 days",
            "27 February 2026",
            "s3 in eu-west-1",
            "Backup script on my laptop",
            "AKIAI44QH8DHBEXAMPLE",
            "12 November 2025",
            "108 days",
            "never",
            "aws iam create-access-key --user-name jane.doe",
            "aws iam get-access-key-last-used --access-key-id AKIAIOSFODNN7EXAMPLE",
            "aws iam update-access-key --user-name jane.doe --access-key-id AKIAIOSFODNN7EXAMPLE --status Inactive",
            "aws iam delete-access-key --user-name jane.doe --access-key-id AKIAIOSFODNN7EXAMPLE",
            "aws iam delete-access-key --user-name jane.doe --access-key-id AKIAI44QH8DHBEXAMPLE",
            "aws iam list-access-keys --user-name jane.doe",
            "aws sts get-caller-identity",
        ] {
            assert!(mail.text.contains(fact), "text: {fact}");
            assert!(html.contains(fact), "html: {fact}");
        }
        for fact in ["jane.doe", "111122223333", "2 AWS access keys", "90 days"] {
            assert!(mail.subject.contains(fact), "subject: {fact}");
        }
    }

    #[test]
    fn a_key_that_was_never_used_gets_no_replacement() {
        let mail = render(&finding_with("/keys/0/last_used", json!("never")));
        for part in [mail.text.clone(), visible(&mail.html)] {
            assert!(part.contains("Nothing has ever used this key"), "{part}");
            assert!(!part.contains("create-access-key"), "{part}");
            assert!(!part.contains("room"), "{part}");
        }
    }

    #[test]
    fn an_unknown_last_use_is_said_to_be_unknown_and_is_no_reason_to_delete() {
        let mail = render(&finding_with("/keys/0/last_used", json!(null)));
        for part in [mail.text.clone(), visible(&mail.html)] {
            assert!(part.contains("not known"), "{part}");
            assert!(part.contains("create-access-key"), "{part}");
        }
    }

    /// `text` with what is blank as one blank, and with plain quotes.
    fn flowing(text: &str) -> String {
        text.replace('’', "'").replace(['“', '”'], "\"").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn filters_that_look_for_key_ids_find_none_where_an_inbox_shows_the_mail() {
        for mail in all_mails() {
            let (above, _) = mail.html.split_once("<h1").unwrap();
            assert!(above.contains("What to do, step by step"), "the preheader: {above}");
            for shown in [mail.subject.as_str(), above] {
                assert!(!shown.contains("AKIA"), "{shown}");
            }
        }
    }

    #[test]
    fn a_user_made_for_smtp_is_asked_for_new_smtp_credentials_and_for_no_access_key() {
        let mut finding = finding_with("/user/name", json!("ses-smtp-user.20260514-101500"));
        finding["keys"][0]["last_used"]["at"]["service"] = json!("ses");
        let mail = render(&finding);
        for part in [&mail.text, &visible(&mail.html)] {
            let part = flowing(part);
            for words in [
                "The secret of a new access key is no password there: you need new SMTP credentials.",
                "choose \"Create SMTP credentials\"",
                "Put the new SMTP user name and password wherever the old ones are",
                "--status Inactive",
                "aws iam delete-access-key --user-name ses-smtp-user.20260514-101500",
            ] {
                assert!(part.contains(words), "{words}: {part}");
            }
            for wrong in ["create-access-key", "Put the new key", "last called Amazon SES"] {
                assert!(!part.contains(wrong), "{wrong}: {part}");
            }
        }
        let guide = "https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html";
        assert!(mail.text.contains(guide) && mail.html.contains(&format!("href=\"{guide}\"")));
        assert_snapshot!("smtp_text", mail.text);
    }

    #[test]
    fn a_key_that_ses_was_called_with_may_be_an_smtp_password() {
        let mut by_ses =
            finding_of_two(&json!({"at": {"at": "2026-01-03T10:00:00Z", "service": "s3", "region": "x"}}));
        by_ses["keys"][0]["last_used"]["at"]["service"] = json!("ses");
        let words = "This key last called Amazon SES. If that was through SES's SMTP interface, the secret \
                     of another key is not the password there: create new SMTP credentials in the SES \
                     console instead.";
        let mail = render(&by_ses);
        for part in [mail.text, visible(&mail.html)] {
            let part = flowing(&part);
            assert_eq!(part.matches(words).count(), 1, "of two keys, at the one: {part}");
            assert!(part.contains("create-access-key"), "{part}");
        }
        assert!(!render(&finding()).text.contains("SMTP"));
    }

    #[test]
    fn where_a_policy_asks_for_mfa_the_mail_says_how_to_sign_in() {
        let words = "If a command answers AccessDenied, your account may want MFA for it: sign in with MFA \
                     first (aws login, or aws sts get-session-token), or use the IAM console.";
        for mail in all_mails() {
            for part in [mail.text, visible(&mail.html)] {
                assert_eq!(flowing(&part).matches(words).count(), 1, "{part}");
            }
        }
    }

    #[test]
    fn of_two_keys_the_one_of_unknown_use_stays_until_the_new_one_is_made() {
        let mail = render(&finding_of_two(&json!(null)));
        for part in [mail.text, visible(&mail.html)] {
            let part = flowing(&part);
            assert!(part.to_lowercase().contains("make room: delete akiaiosfodnn7example"), "{part}");
            assert!(part.to_lowercase().contains("replace akiai44qh8dhbexample"), "{part}");
        }
    }

    #[test]
    fn of_three_keys_all_but_one_make_room() {
        let kind = made_up("2026-03-01T06:00:00Z".parse().unwrap());
        let kind = kind.iter().find(|kind| kind.name == "three-keys").unwrap();
        let mail = built_in().render(&kind.reminder(&settings())).unwrap();
        for part in [&mail.text, &visible(&mail.html)] {
            let part = flowing(part);
            let words =
                "This user has 3 old ones, so all but one have to go before you can create a new one.";
            assert_eq!(part.matches(words).count(), 2, "{part}");
            assert_eq!(part.matches("create-access-key").count(), 1, "{part}");
            assert!(!part.contains("Both of this user"), "{part}");
        }
        assert_snapshot!("three_keys_text", mail.text);
    }

    #[test]
    fn what_somebody_wrote_about_a_key_stays_text() {
        let mail = render(&finding_with("/keys/0/description", json!(HOSTILE)));
        assert!(mail.text.contains(HOSTILE), "{}", mail.text);
        assert!(visible(&mail.html).contains(HOSTILE), "{}", visible(&mail.html));
        assert!(!mail.html.contains("<script"), "{}", mail.html);
        let written = mail.html.split("Description").nth(1).unwrap_or_default();
        assert!(
            written.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;q&#39; {{ 1 }}"),
            "{written}"
        );
    }

    #[test]
    fn any_language_may_be_written_about_a_key() {
        let description = "Schlüssel für Zoë, 鍵 🔑, مفتاح";
        let mail = render(&finding_with("/keys/0/description", json!(description)));
        assert!(mail.text.contains(description), "{}", mail.text);
        assert!(mail.html.contains(description), "{}", mail.html);
        assert!(mail.html.contains("charset=UTF-8"), "{}", mail.html);
    }

    #[test]
    fn a_redirected_mail_says_whom_it_was_for() {
        let settings = ReminderSettings { redirect_all_to: Some(pilot()), ..settings() };
        let mail = render_with(&finding(), &settings);
        assert_eq!(
            mail.subject,
            "[Pilot] 1 AWS access key of jane.doe in account 111122223333 is older than 90 days"
        );
        let words = "PILOT: this mail would have gone to jane.doe@example.com,\nwho has not been told.\n";
        assert!(mail.text.starts_with(words), "{}", mail.text);
        let banner = "Pilot: this mail would have gone to jane.doe@example.com, who has not been told.";
        assert!(visible(&mail.html).contains(banner), "{}", visible(&mail.html));

        let mail = render(&finding());
        let all = [mail.subject, mail.text, mail.html].join(" ").to_lowercase();
        assert!(!all.contains("[pilot]") && !all.contains("would have gone"), "{all}");
    }

    #[test]
    fn links_lead_into_the_users_partition_alone() {
        let links = |partition: &str| {
            let arn = format!("arn:{partition}:iam::111122223333:user/jane.doe");
            let mail = render(&finding_with("/user/arn", json!(arn)));
            let in_text: Vec<_> =
                mail.text.lines().filter(|line| line.starts_with("https://")).map(str::to_owned).collect();
            let in_html = mail.html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            let in_html: Vec<_> =
                in_html.filter(|link| link.starts_with("https://")).map(str::to_owned).collect();
            assert_eq!(in_text, in_html);
            in_text
        };
        let guide = "IAM/latest/UserGuide/id-credentials-access-keys-update.html";
        let page = "iam/home#/users/details/jane.doe?section=security_credentials";
        for (partition, console_host, guide_host) in [
            ("aws", "console.aws.amazon.com", "docs.aws.amazon.com"),
            ("aws-cn", "console.amazonaws.cn", "docs.amazonaws.cn/en_us"),
            ("aws-us-gov", "console.amazonaws-us-gov.com", "docs.aws.amazon.com"),
        ] {
            let expected =
                [format!("https://{console_host}/{page}"), format!("https://{guide_host}/{guide}")];
            assert_eq!(links(partition), expected, "{partition}");
        }
        assert_eq!(links("aws-eusc"), [""; 0]);
    }

    #[test]
    fn a_mail_says_why_it_goes_to_its_reader() {
        for (found_by, reason) in [
            ("tag", "because a tag of the IAM user jane.doe names your address."),
            ("user_name", "because the IAM user's name is your address."),
            ("default_domain", "because your address matches the name of the IAM user jane.doe."),
            ("fallback", "because yours is the address for IAM users without a known contact."),
        ] {
            let mail = render(&finding_with("/recipient/found_by", json!(found_by)));
            for part in [mail.text, visible(&mail.html)] {
                let part = flowing(&part);
                assert!(part.contains(reason), "{part}");
                assert_eq!(
                    part.contains("Please pass it on to whoever uses the key."),
                    found_by == "fallback"
                );
            }
        }
    }

    #[test]
    fn owners_know_whom_to_ask() {
        for (support_contact, shown, link) in [
            (None, "Please ask whoever looks after AWS in your organization.", None),
            (Some("#cloud-help on Slack"), "#cloud-help on Slack", None),
            (Some("help@example.com"), "help@example.com", Some("href=\"mailto:help@example.com\"")),
            (
                Some("https://h.example/?a=\"&b"),
                "https://h.example/?a=\"&b",
                Some("href=\"https://h.example/?a=&quot;&amp;b\""),
            ),
        ] {
            let support_contact = support_contact.map(|text| text.parse().unwrap());
            let mail = render_with(&finding(), &ReminderSettings { support_contact, ..settings() });
            assert!(mail.text.contains(&format!("QUESTIONS?    {shown}\n")), "{}", mail.text);
            assert!(visible(&mail.html).contains(&format!("Questions?{shown}")), "{}", visible(&mail.html));
            assert!(link.is_none_or(|link| mail.html.contains(link)), "{}", mail.html);
        }
    }

    #[test]
    fn an_organization_is_called_by_its_name_and_its_policy_is_linked() {
        let settings = ReminderSettings {
            support_contact: None,
            organization_name: Some("Example & Sons".parse().unwrap()),
            policy_link: Some("https://wiki.example.com/keys?a=1&b=2".parse().unwrap()),
            ..settings()
        };
        let mail = render_with(&finding(), &settings);
        assert_snapshot!("organization_text", mail.text);
        let html = visible(&mail.html);
        for words in [
            "Example & Sons runs it to remind people",
            "Please ask whoever looks after AWS at Example & Sons.",
            "The policyhttps://wiki.example.com/keys?a=1&b=2",
        ] {
            assert!(html.contains(words), "{html}");
        }
        assert!(mail.html.contains("href=\"https://wiki.example.com/keys?a=1&amp;b=2\""), "{}", mail.html);
        assert!(mail.html.contains("Example &amp; Sons"));
        let usual = render(&finding());
        assert!(![usual.text, usual.html].iter().any(|part| part.to_lowercase().contains("the policy")));
    }

    #[test]
    fn one_day_is_no_plural() {
        let mut finding = finding_with("/keys/0/age_days", json!(1));
        finding["keys"][0]["created_at"] = json!("2026-02-28T00:00:00Z");
        let mail = render_with(
            &finding,
            &ReminderSettings { alert_after_days: 1.try_into().unwrap(), ..settings() },
        );
        for part in [mail.subject.clone(), mail.text, visible(&mail.html)] {
            assert!(!part.contains("1 days"), "{part}");
        }
        assert!(
            mail.subject
                .ends_with("1 AWS access key of jane.doe in account 111122223333 is older than 1 day")
        );
    }

    #[test]
    fn every_mail_is_whole() {
        for mail in all_mails() {
            assert!(!mail.subject.contains(['\r', '\n']), "{}", mail.subject);
            for part in [mail.subject, mail.text, mail.html] {
                let part = part.replace("{{ 1 }}", "");
                for left_over in ["{{", "}}", "{%", "%}", "{#", "#}", ">none<", " none\n", "\n\n\n"] {
                    assert!(!part.contains(left_over), "{left_over:?} in {part}");
                }
            }
        }
    }

    /// Findings and settings that are as long as they can be, of users with up to three keys. IAM allows two;
    /// a few users from before that limit have more.
    fn longest() -> Vec<(Value, ReminderSettings)> {
        let name = "W".repeat(64);
        let by = |service: &str| {
            let at = "2026-09-27T10:00:00Z";
            json!({"at": {"at": at, "service": service, "region": "ap-southeast-2"}})
        };
        let uses = [by("s3"), by("ses"), json!("never"), json!(null)];
        let key = |number: usize, last_used: &Value| {
            json!({
                "id": format!("AKIA{number:016}"), "created_at": "1970-09-30T00:00:00Z", "age_days": 20_606,
                "last_used": last_used, "description": "<".repeat(256)
            })
        };
        let settings = ReminderSettings {
            support_contact: Some(format!("https://{}", "&".repeat(248)).parse().unwrap()),
            organization_name: Some("<".repeat(256).parse().unwrap()),
            policy_link: Some(format!("https://wiki.example.com/{}", "&".repeat(175)).parse().unwrap()),
            redirect_all_to: Some(pilot()),
            ..settings()
        };
        let mut mails = Vec::new();
        for user in [name.clone(), format!("ses-smtp-user.{}", &name[14..])] {
            for (last_used, count) in
                uses.iter().flat_map(|last_used| (1..=3).map(move |count| (last_used, count)))
            {
                let mut finding = finding_in(&"<".repeat(63));
                finding["user"]["name"] = json!(user);
                finding["user"]["arn"] = json!(format!("arn:aws-cn:iam::111122223333:user/{user}"));
                finding["recipient"]["to"] = json!(format!("{name}@example.com"));
                finding["keys"] = (0..count).map(|number| key(number, last_used)).collect();
                mails.push((finding, settings.clone()));
            }
        }
        mails
    }

    #[test]
    fn no_mail_is_too_large_for_mail_programs() {
        let longest = longest().into_iter().map(|(finding, settings)| render_with(&finding, &settings));
        for mail in all_mails().into_iter().chain(longest) {
            let bytes = mail.subject.len() + mail.text.len() + mail.html.len();
            assert!(bytes <= MAIL_BYTES_MAX, "{bytes} bytes: {}", mail.subject);
        }
    }

    #[test]
    fn the_lines_of_plain_text_are_short_but_for_commands_and_links() {
        let is_whole = |line: &str| line.trim_start().starts_with("aws ") || line.contains("https://");
        // A description is as its writer has it.
        let is_description = |line: &str| line.contains("Description:");
        for mail in all_mails() {
            for line in mail.text.lines().filter(|line| !is_whole(line) && !is_description(line)) {
                assert!(line.chars().count() <= TEXT_COLUMNS_MAX, "{} columns: {line}", line.chars().count());
            }
        }
    }

    #[test]
    fn a_mail_fetches_nothing() {
        for mail in all_mails() {
            for fetched in
                ["<img", "<link", "@import", "url(", "src=", "<script", "background=", "@font-face"]
            {
                assert!(!mail.html.contains(fetched), "{fetched}: {}", mail.html);
            }
        }
    }
}
