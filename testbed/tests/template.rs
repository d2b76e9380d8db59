//! What `infra/` says and no deployment on an emulator would tell: that durations hold one another, so that no short
//! lease mails owners twice; that nothing is granted about other accounts unless they are to be looked after; that the
//! role in those accounts may do what is asked of it, and lets in nobody else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs};

use regex_lite::Regex;

/// The columns of the mapping.
const COLUMNS: [&str; 2] = ["production", "testbed"];

/// Where each duration is used: in which resource or section, and as which of its properties.
const USES: [(&str, &str, &str); 16] = [
    ("ProducerFunction", "Timeout", "ProducerTimeout"),
    ("WorkerFunction", "Timeout", "WorkerTimeout"),
    ("NotifierFunction", "Timeout", "NotifierTimeout"),
    ("FeedbackFunction", "Timeout", "FeedbackTimeout"),
    ("AccountsQueue", "VisibilityTimeout", "AccountsVisibility"),
    ("UsersQueue", "VisibilityTimeout", "UsersVisibility"),
    ("FindingsQueue", "VisibilityTimeout", "FindingsVisibility"),
    ("FeedbackQueue", "VisibilityTimeout", "FeedbackVisibility"),
    ("NotifierFunction", "SES_ATTEMPT_TIMEOUT_SECONDS", "SesAttemptTimeout"),
    ("NotifierFunction", "LEASE_SECONDS", "Lease"),
    ("NotifierFunction", "UNKNOWN_LEASE_SECONDS", "UnknownLease"),
    ("ProducerFunction", "DENIED_ROLE_DELAY_SECONDS", "DeniedRoleDelay"),
    ("WorkerFunction", "DENIED_ROLE_DELAY_SECONDS", "DeniedRoleDelay"),
    ("Function", "RETRY_FIRST_DELAY_SECONDS", "RetryFirstDelay"),
    ("Function", "RETRY_LONGEST_DELAY_SECONDS", "RetryLongestDelay"),
    ("Function", "OPERATOR_DELAY_SECONDS", "OperatorDelay"),
];

/// Each function's timeout, and its queue's visibility timeout.
const PAIRS: [(&str, &str); 4] = [
    ("ProducerTimeout", "AccountsVisibility"),
    ("WorkerTimeout", "UsersVisibility"),
    ("NotifierTimeout", "FindingsVisibility"),
    ("FeedbackTimeout", "FeedbackVisibility"),
];

/// A file of the workspace.
fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// What stands under `name`, whose line is indented by two: everything that is indented further.
fn section<'a>(template: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = template.lines().skip_while(|line| *line != format!("  {name}:"));
    assert!(lines.next().is_some(), "the template has no {name}");
    lines.take_while(|line| line.is_empty() || line.starts_with("   ")).collect()
}

/// The durations of `column`, in seconds.
fn durations(template: &str, column: &str) -> BTreeMap<String, u64> {
    let lines = section(template, "Durations").into_iter().map(str::trim);
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let duration = |line: &str| {
        let (name, columns) = line.split_once(':').unwrap();
        let (_, value) = columns.split_once(&format!("{column}: \"")).unwrap();
        (name.to_owned(), value.split('"').next().unwrap().parse().unwrap())
    };
    entries.map(duration).collect()
}

/// The value of a constant in a function's source: a binary gives its constants to nobody.
fn constant_seconds(path: &str, name: &str) -> u64 {
    let source = file(path);
    let (_, value) = source.split_once(&format!("const {name}: Duration = ")).unwrap();
    let (_, value) = value.split_once("Duration::from_secs(").unwrap();
    value.split(')').next().unwrap().parse().unwrap()
}

#[test]
fn an_attempt_to_send_ends_within_its_invocation_its_lease_and_its_finding_s_visibility_timeout() {
    let template = file("infra/template.yaml");
    for column in COLUMNS {
        let durations = durations(&template, column);
        let chain = ["SesAttemptTimeout", "NotifierTimeout", "Lease", "FindingsVisibility"]
            .map(|name| durations[name]);
        assert!(chain.is_sorted_by(|shorter, longer| shorter < longer), "{column}: {chain:?}");
        assert!(durations["UnknownLease"] >= durations["Lease"], "{column}: a lease is prolonged");
    }
}

#[test]
fn a_record_stays_invisible_while_its_function_may_work_on_it() {
    let template = file("infra/template.yaml");
    for (timeout, visibility) in PAIRS {
        // Lambda advises six times the timeout, and accepts no less than the timeout.
        let production = durations(&template, "production");
        assert!(production[visibility] >= 6 * production[timeout], "{visibility}");
        let testbed = durations(&template, "testbed");
        assert!(testbed[visibility] > testbed[timeout], "{visibility}");
    }
}

#[test]
fn each_function_has_the_time_that_it_asks_for_before_it_starts_a_record() {
    let template = file("infra/template.yaml");
    let time_to_answer = constant_seconds("shared/lambda/src/records.rs", "TIME_TO_ANSWER");
    let page = constant_seconds("functions/producer/src/handler.rs", "TIME_FOR_A_PAGE");
    let report = constant_seconds("functions/producer/src/handler.rs", "TIME_FOR_THE_REPORT");
    let scan = constant_seconds("functions/producer/src/handler.rs", "TIME_FOR_THE_SCAN");
    let user = constant_seconds("functions/worker/src/handler.rs", "TIME_FOR_ONE_USER");
    let ledger = constant_seconds("functions/notifier/src/handler.rs", "TIME_FOR_THE_LEDGER");
    let event = constant_seconds("functions/feedback/src/handler.rs", "TIME_FOR_THE_LEDGER");
    for column in COLUMNS {
        let durations = durations(&template, column);
        for (timeout, needed) in [
            // Whatever becomes of the report.
            ("ProducerTimeout", page.max(scan)),
            ("WorkerTimeout", user),
            ("NotifierTimeout", time_to_answer + ledger + durations["SesAttemptTimeout"]),
            ("FeedbackTimeout", time_to_answer + event),
        ] {
            assert!(needed < durations[timeout], "{column}: {timeout} leaves no time for a record");
        }
    }
    assert!(report + scan < durations(&template, "production")["ProducerTimeout"]);
}

#[test]
fn every_duration_is_what_its_resource_refers_to() {
    let template = file("infra/template.yaml");
    for (resource, property, duration) in USES {
        let reference = format!("{property}: !FindInMap [Durations, {duration}, !Ref Timing]");
        let lines = section(&template, resource);
        assert!(lines.iter().any(|line| line.trim() == reference), "{resource} has no {reference}");
    }
    for column in COLUMNS {
        let durations = durations(&template, column);
        let unused: Vec<_> =
            durations.keys().filter(|name| USES.iter().all(|use_| use_.2 != *name)).collect();
        let defined = USES.iter().filter(|use_| durations.contains_key(use_.2)).count();
        assert_eq!((defined, unused), (USES.len(), vec![]), "{column}");
    }
}

#[test]
fn no_timeout_stands_anywhere_but_in_the_mapping() {
    let template = file("infra/template.yaml");
    let timeouts = template
        .lines()
        .map(str::trim)
        .filter(|line| ["Timeout:", "VisibilityTimeout:"].iter().any(|property| line.starts_with(property)));
    let fixed: Vec<&str> = timeouts.filter(|line| !line.contains("!FindInMap [Durations, ")).collect();
    assert_eq!(fixed, Vec::<&str>::new());
}

/// What a role may do, and when it may.
#[derive(Debug)]
struct Statement<'a> {
    /// The condition of the template under which the statement is there at all.
    only_if: Option<&'a str>,
    actions: Vec<&'a str>,
    /// All of it, without comments and indentation.
    lines: Vec<&'a str>,
}

/// The lines of the section `name` without comments, trimmed.
fn lines_of<'a>(template: &'a str, name: &str) -> Vec<&'a str> {
    let lines = section(template, name).into_iter().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The statements of the policy of `role`, or of the policy that is called so.
fn statements<'a>(template: &'a str, role: &str) -> Vec<Statement<'a>> {
    let lines = lines_of(template, role);
    let policy = lines.iter().position(|line| *line == "PolicyDocument:").unwrap();
    let lines = &lines[policy..];
    let starts: Vec<usize> = (0..lines.len()).filter(|n| lines[*n].starts_with("- Sid: ")).collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    let statement = |(start, end): (&usize, usize)| {
        let body =
            lines[*start..end].iter().take_while(|line| !["- !If", "- !Ref AWS::NoValue"].contains(line));
        let lines_before = (lines[start - 2], lines[start - 1]);
        let only_if = (lines_before.0 == "- !If").then(|| lines_before.1.trim_start_matches("- "));
        let body: Vec<&str> = body.copied().collect();
        let after_action = body.iter().skip_while(|line| !line.starts_with("Action:"));
        let actions = after_action.take_while(|line| line.starts_with("Action:") || line.starts_with("- "));
        let actions = actions.map(|line| line.trim_start_matches("Action:").trim_start_matches("- ").trim());
        Statement { only_if, actions: actions.filter(|action| !action.is_empty()).collect(), lines: body }
    };
    starts.iter().zip(ends).map(statement).collect()
}

/// The calls that an adapter makes, as it names them itself.
fn calls(adapter: &str) -> BTreeSet<String> {
    let source = file(adapter);
    let names = source.split("const CALL: &str = \"").skip(1).filter_map(|rest| rest.split('"').next());
    names.map(str::to_owned).collect()
}

const ROLES: [&str; 5] = ["ScheduleRole", "ProducerRole", "WorkerRole", "NotifierRole", "FeedbackRole"];

#[test]
fn nothing_is_granted_about_other_accounts_unless_they_are_looked_after() {
    let template = file("infra/template.yaml");
    let mut granted = BTreeSet::new();
    for role in ROLES {
        for Statement { only_if, actions, .. } in statements(&template, role) {
            let others = ["sts:", "organizations:"];
            let about_others =
                actions.iter().filter(|action| others.iter().any(|service| action.starts_with(service)));
            granted.extend(about_others.map(|action| (role, (*action).to_owned(), only_if)));
        }
    }
    let expected = [
        ("ProducerRole", "sts:AssumeRole", "LooksAfterOthers"),
        ("WorkerRole", "sts:AssumeRole", "LooksAfterOthers"),
        ("ProducerRole", "organizations:ListAccounts", "LooksAfterAnOrganization"),
        ("ProducerRole", "organizations:ListAccountsForParent", "LooksAfterUnits"),
        ("ProducerRole", "organizations:ListOrganizationalUnitsForParent", "LooksAfterUnits"),
    ];
    let expected = expected.map(|(role, action, only_if)| (role, action.to_owned(), Some(only_if)));
    assert_eq!(granted, expected.into());

    let listing = calls("shared/aws/src/organizations.rs");
    let granted = granted.into_iter().map(|(_, action, _)| action);
    let granted: BTreeSet<_> = granted.filter(|action| action.starts_with("organizations:")).collect();
    assert_eq!(granted, listing);

    for condition in [
        "  LooksAfterAnOrganization: !Equals [!Ref Accounts, organization]",
        "  LooksAfterUnits: !And [!Condition LooksAfterAnOrganization, !Not [!Equals [!Ref OrganizationalUnits, \"\"]]]",
        "  LooksAfterOthers: !Not [!Equals [!Ref Accounts, \"\"]]",
    ] {
        assert!(template.lines().any(|line| line == condition), "{condition}");
    }
    for parameter in ["Accounts", "OrganizationalUnits"] {
        assert!(lines_of(&template, parameter).contains(&"Default: \"\""), "{parameter}");
    }
}

#[test]
fn a_role_elsewhere_is_assumed_by_its_name_in_the_organization_or_in_the_accounts_listed() {
    let template = file("infra/template.yaml");
    for role in ["ProducerRole", "WorkerRole"] {
        let statements = statements(&template, role);
        let assume = statements.iter().find(|statement| statement.actions == ["sts:AssumeRole"]).unwrap();
        assert_eq!(
            assume.lines[1..],
            [
                "Effect: Allow",
                "Action: sts:AssumeRole",
                "Resource: !Sub arn:${AWS::Partition}:iam::*:role/${MemberRoleName}",
                "Condition:",
                "ArnEquals:",
                &source_function(role),
                "StringEquals: !If",
                "- LooksAfterAnOrganization",
                "- aws:ResourceOrgID: ${aws:PrincipalOrgID}",
                "- aws:ResourceAccount: !Split [\",\", !Ref Accounts]",
            ],
            "{role}"
        );
    }
}

/// The line that ties a statement of `role` to its one function.
fn source_function(role: &str) -> String {
    let function = role.trim_end_matches("Role").to_lowercase();
    let lambda = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}";
    format!("lambda:SourceFunctionArn: !Sub {lambda}:function:${{AWS::StackName}}-{function}")
}

/// Otherwise a function, task or instance that somebody passes the role to could do the same.
#[test]
fn iam_other_accounts_and_mail_are_for_the_function_alone_whose_role_it_is() {
    let template = file("infra/template.yaml");
    let mut tied = 0;
    for role in ROLES {
        for Statement { actions, lines, .. } in statements(&template, role) {
            let is_sensitive =
                |action: &&str| ["iam:", "sts:", "ses:SendEmail"].iter().any(|name| action.starts_with(name));
            if actions.iter().any(is_sensitive) {
                let at = lines.iter().position(|line| *line == source_function(role));
                let at = at.unwrap_or_else(|| panic!("{role}: {actions:?} is for any caller with the role"));
                assert_eq!(lines[at - 1], "ArnEquals:", "{role}: {actions:?}");
                tied += 1;
            }
        }
    }
    assert_eq!(tied, 8);
}

/// A comparison of all keys is true of none.
#[test]
fn no_call_without_a_key_reaches_the_ledger() {
    let template = file("infra/template.yaml");
    let mut about_items = 0;
    for policy in ROLES.into_iter().chain(["OperatorsLookPolicy"]) {
        for Statement { actions, lines, .. } in statements(&template, policy) {
            let is_about_items =
                |action: &&str| action.starts_with("dynamodb:") && !action.starts_with("dynamodb:Describe");
            if actions.iter().any(is_about_items) {
                let condition = lines.iter().skip_while(|line| **line != "Condition:");
                let condition: Vec<&str> = condition.copied().collect();
                let [_, "ForAllValues:StringLike:", keys, "\"Null\":", "dynamodb:LeadingKeys: \"false\""] =
                    condition[..]
                else {
                    panic!("{policy}: {actions:?}: {condition:?}");
                };
                assert!(keys.starts_with("dynamodb:LeadingKeys: ["), "{policy}: {keys}");
                about_items += 1;
            }
        }
    }
    assert_eq!(about_items, 8);
}

/// A pilot's notifier cannot mark owners as told, nor the other way round.
#[test]
fn worker_and_notifier_see_the_one_ledger_that_their_stack_writes() {
    let template = file("infra/template.yaml");
    let keys = |role| {
        let lines = statements(&template, role).into_iter().flat_map(|statement| statement.lines);
        let keys = lines.filter_map(|line| line.strip_prefix("dynamodb:LeadingKeys: "));
        keys.filter(|keys| keys.contains("owner#")).map(str::to_owned).collect::<Vec<_>>()
    };
    let one = "[!If [IsPilot, \"pilot#owner#*\", \"owner#*\"]]";
    assert_eq!((keys("WorkerRole"), keys("NotifierRole")), (vec![one.to_owned()], vec![one.to_owned()]));
    assert_eq!(keys("FeedbackRole"), ["[\"owner#*\", \"pilot#owner#*\"]"]);
}

/// "Nowhere else" is a promise of IAM's, then, and not of the code alone.
#[test]
fn mail_goes_to_the_allowed_domains_and_in_a_pilot_to_its_mailbox_alone() {
    let template = file("infra/template.yaml");
    let lines = lines_of(&template, "NotifierRole");
    let at = lines.iter().position(|line| *line == "ses:FromAddress: !Ref Sender").unwrap();
    let allowed = [
        "- NamesDomains",
        "- !Split [\",\", !Join [\"\", [\"*@\", !Join [\",*@\", !Split [\",\", !Ref AllowedDomains]]]]]",
        "- [!Join [\"\", [\"*@\", !Select [1, !Split [\"@\", !Ref Sender]]]]]",
        "\"Null\":",
        "ses:Recipients: \"false\"",
    ];
    let of_notifier =
        ["ForAllValues:StringLike:", "ses:Recipients: !If", "- IsPilot", "- [!Ref RedirectAllTo]"];
    let of_notifier = [&of_notifier[..], &["- !If"], &allowed].concat();
    assert_eq!(lines[at + 1..][..of_notifier.len()], of_notifier);
    // People who send test mails are held to the same domains.
    let lines = lines_of(&template, "OperatorsActPolicy");
    let at = lines.iter().position(|line| *line == "ses:FromAddress: !Ref Sender").unwrap();
    let of_people = [&["ForAllValues:StringLike:", "ses:Recipients: !If"], &allowed[..]].concat();
    assert_eq!(lines[at + 1..][..of_people.len()], of_people);
}

/// The rule for values of a parameter of `infra/template.yaml`.
fn pattern_of(parameter: &str) -> Regex {
    let template = file("infra/template.yaml");
    let lines = lines_of(&template, parameter);
    let pattern = lines.iter().find_map(|line| line.strip_prefix("AllowedPattern: ")).unwrap();
    Regex::new(pattern).unwrap()
}

/// IAM compares letter by letter what is made of these.
#[test]
fn domains_that_iam_compares_are_in_small_letters_and_without_blanks() {
    let domains = pattern_of("AllowedDomains");
    for good in ["", "example.com", "example.com,sub.example.co.uk", "xn--bcher-kva.example"] {
        assert!(domains.is_match(good), "{good}");
    }
    for bad in [
        "Example.com",
        "example.com, example.org",
        " example.com",
        "example.com,",
        "*",
        "*.com",
        "com",
        "a@b.example",
    ] {
        assert!(!domains.is_match(bad), "{bad}");
    }
    for parameter in ["Sender", "RedirectAllTo"] {
        let address = pattern_of(parameter);
        assert!(address.is_match("Key.Nudge+x@example.com"), "{parameter}");
        for bad in
            ["a@Example.com", "*@example.com", "a@*.com", "a?@example.com", "a@example.com,b@example.com"]
        {
            assert!(!address.is_match(bad), "{parameter}: {bad}");
        }
    }
}

/// A layer is code: `/opt/extensions` in it runs with the notifier's role.
#[test]
fn a_layer_of_another_account_or_region_cannot_be_named() {
    let layer = pattern_of("TemplatesLayer");
    for good in ["", "keynudge-templates:1", "words_2:120"] {
        assert!(layer.is_match(good), "{good}");
    }
    let other = "arn:aws:lambda:eu-west-1:999999999999:layer:words:1";
    for bad in [other, "999999999999:layer:words:1", "words", "words:", "words:0", "words:latest", "a:b:1"] {
        assert!(!layer.is_match(bad), "{bad}");
    }
    let template = file("infra/template.yaml");
    let own =
        "- [!Sub \"arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:layer:${TemplatesLayer}\"]";
    assert!(lines_of(&template, "NotifierFunction").contains(&own));
    assert_eq!(template.matches(":layer:").count(), 1);
}

#[test]
fn addresses_that_are_never_written_to_are_whole_addresses() {
    let excluded = pattern_of("ExcludedRecipients");
    for good in ["", "all@example.com", "all@example.com,service.desk@Example.org"] {
        assert!(excluded.is_match(good), "{good}");
    }
    for bad in ["example.com", "*@example.com", "a@example.com, b@example.com", "a@example.com,"] {
        assert!(!excluded.is_match(bad), "{bad}");
    }
    for (parameter, good, bad) in [
        ("MailsPerSecond", ["", "1", "9999"], ["0", "-1", "1.5"]),
        ("MailsPerDay", ["", "1", "50000"], ["0", "1e3", " "]),
    ] {
        let number = pattern_of(parameter);
        assert!(good.iter().all(|good| number.is_match(good)), "{parameter}");
        assert!(!bad.iter().any(|bad| number.is_match(bad)), "{parameter}");
    }
}

/// Many organizations refuse to create a role without.
#[test]
fn every_role_takes_the_organization_s_boundary_and_path() {
    let template = file("infra/template.yaml");
    let roles = template.lines().filter(|line| *line == "    Type: AWS::IAM::Role").count();
    assert_eq!(roles, ROLES.len());
    for role in ROLES {
        let lines = lines_of(&template, role);
        assert!(lines.contains(&"Path: !Ref RolesPath"), "{role}");
        let boundary = "PermissionsBoundary: !If [HasPermissionsBoundary, !Ref PermissionsBoundaryArn, !Ref AWS::NoValue]";
        assert!(lines.contains(&boundary), "{role}");
    }
    let path = pattern_of("RolesPath");
    assert!(path.is_match("/") && path.is_match("/security/keynudge/"));
    assert!(!["", "keynudge", "/keynudge", "keynudge/", "//", "/*/"].iter().any(|bad| path.is_match(bad)));
    // The functions make its ARN of account and name.
    let member = file("infra/member-role.yaml");
    let lines = lines_of(&member, "MemberRole");
    assert!(lines.contains(&"Path: /"));
    assert!(
        lines.contains(
            &"- !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/${PermissionsBoundaryName}"
        )
    );
}

/// What the README of the tool says that each command asks for.
fn permissions_in_the_readme() -> BTreeSet<String> {
    let readme = file("cli/README.md");
    let section = readme.split_once("\n## Permissions\n").unwrap().1;
    let rows =
        section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let actions = rows.flat_map(|row| row.split('`')).filter(|text| text.contains(':'));
    actions.map(str::to_owned).collect()
}

#[test]
fn the_operators_policies_are_what_the_tool_asks_for_and_the_first_changes_nothing() {
    let template = file("infra/template.yaml");
    let actions = |policy| {
        let statements = statements(&template, policy).into_iter();
        let actions = statements.flat_map(|statement| statement.actions).map(str::to_owned);
        actions.filter(|action| !action.starts_with("kms:")).collect::<BTreeSet<String>>()
    };
    let (look, act) = (actions("OperatorsLookPolicy"), actions("OperatorsActPolicy"));
    let mut asked_for = permissions_in_the_readme();
    // `scan --role-arn` assumes any role that people have themselves.
    assert!(asked_for.remove("sts:AssumeRole"));
    assert_eq!(look.union(&act).cloned().collect::<BTreeSet<_>>(), asked_for);

    let changing = ["lambda:InvokeFunction", "sqs:DeleteMessage", "sqs:SendMessage", "ses:SendEmail"];
    assert_eq!(act, changing.map(str::to_owned).into());
    assert!(look.is_disjoint(&act));
    let reads = ["Get", "List", "Describe", "Query", "Filter", "Receive"];
    let does_not_read = |action: &&String| {
        let (_, verb) = action.split_once(':').unwrap();
        !reads.iter().any(|read| verb.starts_with(read))
    };
    let others: Vec<&String> = look.iter().filter(does_not_read).collect();
    // A report that IAM makes of itself, and putting back what was received.
    assert_eq!(others, ["iam:GenerateCredentialReport", "sqs:ChangeMessageVisibility"]);
    for policy in ["OperatorsLookPolicy", "OperatorsActPolicy"] {
        let attached = lines_of(&template, policy);
        assert!(!attached.iter().any(|line| ["Roles:", "Users:", "Groups:"].contains(line)), "{policy}");
    }
}

/// Each queue has the one policy that denies, and the table, too, in the same words.
#[test]
fn where_operators_are_named_all_queues_and_the_ledger_are_closed_to_others() {
    let template = file("infra/template.yaml");
    let queues = template.split("\n  ").zip(template.split("\n  ").skip(1));
    let queues = queues.filter(|(_, kind)| kind.trim() == "Type: AWS::SQS::Queue");
    let queues: BTreeSet<String> = queues.map(|(name, _)| name.trim_end_matches(':').to_owned()).collect();
    assert_eq!(queues.len(), 10);
    let closed = ["QueuesPolicy", "FeedbackQueuePolicy"].map(|policy| lines_of(&template, policy));
    let listed = closed.iter().flatten().flat_map(|line| line.split("!Ref ").skip(1));
    let listed =
        listed.map(|name| name.trim_end_matches(']').to_owned()).filter(|name| name.ends_with("Queue"));
    assert_eq!(listed.collect::<BTreeSet<_>>(), queues);

    let functions =
        "${ProducerRole.Arn},${WorkerRole.Arn},${NotifierRole.Arn},${FeedbackRole.Arn},${OperatorRoleArns}";
    for (lines, others) in closed
        .iter()
        .map(|lines| (lines, "${ScheduleRole.Arn},"))
        .chain([(&lines_of(&template, "LedgerTable"), "")])
    {
        assert!(lines.contains(&"Effect: Deny") && lines.contains(&"ArnNotEquals:"));
        assert!(lines.contains(&&*format!("- !Sub \"{others}{functions}\"")));
        assert!(lines.iter().any(|line| line.ends_with("NamesOperators")));
    }
    let arns = pattern_of("OperatorRoleArns");
    let [one, other] = ["ops", "aws-reserved/sso.amazonaws.com/AWSReservedSSO_Ops_0123abcd"]
        .map(|role| format!("arn:aws:iam::111122223333:role/{role}"));
    assert!(arns.is_match("") && arns.is_match(&one) && arns.is_match(&format!("{one},{other}")));
    for bad in [
        "*",
        "arn:aws:iam::111122223333:role/*",
        &format!("{one}, {other}"),
        "arn:aws:iam::111122223333:root",
    ] {
        assert!(!arns.is_match(bad), "{bad}");
    }
}

/// With a key of the organization's, every resource is encrypted with it, and each role may use it.
#[test]
fn a_key_of_the_organization_encrypts_all_that_is_kept() {
    let template = file("infra/template.yaml");
    let count = |line: &str| template.lines().filter(|one| one.trim() == line).count();
    assert_eq!(count("KmsMasterKeyId: !If [BringsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]"), 10);
    assert_eq!(count("SqsManagedSseEnabled: !If [BringsKey, false, true]"), 10);
    assert_eq!(count("KmsKeyId: !If [BringsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]"), 4);
    assert_eq!(count("- { SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: !Ref KmsKeyArn }"), 1);
    for policy in ROLES.into_iter().chain(["OperatorsLookPolicy", "OperatorsActPolicy"]) {
        let statements = statements(&template, policy);
        let of_key: Vec<_> = statements.iter().filter(|it| it.actions.contains(&"kms:Decrypt")).collect();
        let [of_key] = of_key[..] else { panic!("{policy}: {of_key:?}") };
        assert_eq!(of_key.only_if, Some("BringsKey"), "{policy}");
        assert!(of_key.lines.iter().any(|line| line.starts_with("kms:ViaService:")), "{policy}");
    }
}

/// Events of SES hold addresses and subjects.
#[test]
fn nothing_but_the_feedback_queue_can_listen_to_ses_once_it_is_known() {
    let template = file("infra/ses.yaml");
    let lines = lines_of(&template, "EventsTopicPolicy");
    let deny = lines.iter().position(|line| *line == "- Sid: NothingButTheQueueListens").unwrap();
    assert_eq!(lines[deny - 2..deny], ["- !If", "- KnowsTheQueue"]);
    assert_eq!(
        lines[deny + 1..],
        [
            "Effect: Deny",
            "Principal: \"*\"",
            "Action: sns:Subscribe",
            "Resource: !Ref EventsTopic",
            "Condition:",
            "StringNotEquals:",
            "sns:Endpoint: !Ref FeedbackQueueArn",
            "- !Ref AWS::NoValue",
        ]
    );
    assert!(
        lines_of(&file("infra/template.yaml"), "FeedbackQueueArn")
            .contains(&"Value: !GetAtt FeedbackQueue.Arn")
    );
}

/// From these rates on, SES puts the account under review.
#[test]
fn bounces_and_complaints_raise_an_alarm_before_ses_stops_the_account() {
    let template = file("infra/ses.yaml");
    for (alarm, metric, threshold) in [
        ("BounceRateAlarm", "Reputation.BounceRate", "0.05"),
        ("ComplaintRateAlarm", "Reputation.ComplaintRate", "0.001"),
    ] {
        let lines = lines_of(&template, alarm);
        for line in [
            format!("MetricName: {metric}"),
            format!("Threshold: {threshold}"),
            "ComparisonOperator: GreaterThanOrEqualToThreshold".to_owned(),
            "Dimensions: [{ Name: \"ses:configuration-set\", Value: !Ref ConfigurationSet }]".to_owned(),
        ] {
            assert!(lines.contains(&&*line), "{alarm}: {line}");
        }
    }
    assert!(template.contains("ReputationOptions: { ReputationMetricsEnabled: true }"), "SES counts them");
}

/// What it may do is what the adapter calls, so neither a call without a grant nor a grant without a call.
#[test]
fn the_role_in_other_accounts_may_do_what_is_asked_of_it_and_nothing_else() {
    let template = file("infra/member-role.yaml");
    let of_role = statements(&template, "MemberRole");
    let granted: Vec<&str> = of_role.iter().flat_map(|statement| statement.actions.clone()).collect();
    let granted_once: BTreeSet<String> = granted.iter().map(|action| (*action).to_owned()).collect();
    let mut called = calls("shared/aws/src/iam.rs");
    // The operator's tool asks for these, with the operator's own credentials.
    for only_by_the_operator in ["iam:GetAccountSummary", "iam:GetUser"] {
        assert!(called.remove(only_by_the_operator), "{only_by_the_operator}");
    }
    assert_eq!((granted_once, granted.len()), (called, 7));

    for Statement { only_if, actions, lines } in &of_role {
        let of_users = actions.contains(&"iam:ListAccessKeys");
        let users = "Resource: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:user/*";
        assert_eq!(lines.last(), Some(&if of_users { users } else { "Resource: \"*\"" }), "{actions:?}");
        let condition = (*actions == CREDENTIAL_REPORT).then_some("ReadsCredentialReports");
        assert_eq!((lines[1], *only_if), ("Effect: Allow", condition));
    }
    let own = file("infra/template.yaml");
    let at_home = ["ProducerRole", "WorkerRole"].into_iter().flat_map(|role| statements(&own, role));
    let at_home = at_home.flat_map(|statement| statement.actions).filter(|action| action.starts_with("iam:"));
    let (at_home, granted): (BTreeSet<_>, BTreeSet<_>) = (at_home.collect(), granted.into_iter().collect());
    assert_eq!(at_home, granted, "the functions may do the same at home");
}

const CREDENTIAL_REPORT: [&str; 2] = ["iam:GenerateCredentialReport", "iam:GetCredentialReport"];

#[test]
fn the_credential_report_is_granted_where_it_filters_users_and_by_default_nowhere() {
    for (path, role) in [("infra/template.yaml", "ProducerRole"), ("infra/member-role.yaml", "MemberRole")] {
        let template = file(path);
        let about_report = statements(&template, role).into_iter().find(|it| it.actions == CREDENTIAL_REPORT);
        assert_eq!(about_report.unwrap().only_if, Some("ReadsCredentialReports"), "{path}");
        let condition = "  ReadsCredentialReports: !Equals [!Ref UserFilter, credential-report]";
        assert!(template.lines().any(|line| line == condition), "{path}");
        let parameter = lines_of(&template, "UserFilter");
        assert!(parameter.contains(&"Default: none"), "{path}");
        assert!(parameter.contains(&"AllowedValues: [none, credential-report]"), "{path}");
    }
    let own = file("infra/template.yaml");
    for role in ROLES.into_iter().filter(|role| *role != "ProducerRole") {
        let actions = statements(&own, role).into_iter().flat_map(|statement| statement.actions);
        assert!(actions.into_iter().all(|action| !CREDENTIAL_REPORT.contains(&action)), "{role}");
    }
}

#[test]
fn the_role_in_other_accounts_lets_in_the_two_functions_and_nobody_else() {
    let template = file("infra/member-role.yaml");
    let lines = lines_of(&template, "MemberRole");
    let trust = lines.iter().skip_while(|line| **line != "AssumeRolePolicyDocument:");
    let trust: Vec<&str> = trust.take_while(|line| **line != "Policies:").copied().collect();
    assert_eq!(
        trust[2..],
        [
            "Statement:",
            "- Sid: KeynudgesProducerAndWorker",
            "Effect: Allow",
            "Principal:",
            "AWS: !Sub",
            "- arn:${AWS::Partition}:iam::${Account}:root",
            "- Account: !Select [4, !Split [\":\", !Ref ProducerRoleArn]]",
            "Action: sts:AssumeRole",
            "Condition:",
            "ArnEquals:",
            "aws:PrincipalArn: [!Ref ProducerRoleArn, !Ref WorkerRoleArn]",
            "StringEquals: !If",
            "- AsksForMore",
            "- aws:PrincipalOrgID: !If [LimitsTheOrganization, !Ref OrganizationId, !Ref AWS::NoValue]",
            "sts:ExternalId: !If [AsksForAnExternalId, !Ref ExternalId, !Ref AWS::NoValue]",
            "- !Ref AWS::NoValue",
        ]
    );
    for condition in [
        "  LimitsTheOrganization: !Not [!Equals [!Ref OrganizationId, none]]",
        "  AsksForAnExternalId: !Not [!Equals [!Ref ExternalId, \"\"]]",
        "  AsksForMore: !Or [!Condition LimitsTheOrganization, !Condition AsksForAnExternalId]",
    ] {
        assert!(template.lines().any(|line| line == condition), "{condition}");
    }
}

/// `ArnEquals` takes `*` and `?` for anything.
#[test]
fn no_parameter_lets_in_more_than_two_roles_of_one_organization() {
    let template = file("infra/member-role.yaml");
    let rule = |parameter: &str, rule: &str| {
        let lines = lines_of(&template, parameter).into_iter();
        lines.filter_map(|line| line.strip_prefix(rule)).map(str::to_owned).collect::<Vec<_>>()
    };
    for parameter in ["ProducerRoleArn", "WorkerRoleArn"] {
        let pattern = "^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$";
        assert_eq!(rule(parameter, "AllowedPattern: "), [pattern], "{parameter}");
        assert!(rule(parameter, "Default: ").is_empty(), "{parameter}");
    }
    assert_eq!(rule("OrganizationId", "AllowedPattern: "), ["^none$|^o-[a-z0-9]{10,32}$"]);
    assert!(rule("OrganizationId", "Default: ").is_empty(), "to do without is to say so");
}

#[test]
fn what_one_template_calls_the_role_the_other_accepts() {
    let (keynudge, member) = (file("infra/template.yaml"), file("infra/member-role.yaml"));
    for parameter in ["MemberRoleName", "ExternalId"] {
        let rules = |template| {
            let lines = lines_of(template, parameter).into_iter();
            let rules = lines
                .filter(|line| ["Default:", "AllowedPattern:"].iter().any(|rule| line.starts_with(rule)));
            rules.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(rules(&keynudge), rules(&member), "{parameter}");
        assert_eq!(rules(&member).len(), 2, "{parameter}");
    }
    for (output, role) in [("ProducerRoleArn", "ProducerRole"), ("WorkerRoleArn", "WorkerRole")] {
        assert!(lines_of(&keynudge, output).contains(&&*format!("Value: !GetAtt {role}.Arn")), "{output}");
        assert!(lines_of(&member, output).contains(&"Type: String"), "{output}");
    }
}

/// In other partitions and regions, Lambda knows no such property, and nothing could be deployed.
#[test]
fn loops_are_allowed_where_lambda_detects_them_and_elsewhere_it_is_not_asked() {
    let template = file("infra/template.yaml");
    let allowed = template.lines().map(str::trim).filter(|line| line.starts_with("RecursiveLoop:"));
    let expected = ["RecursiveLoop: !If [DetectsLoops, Allow, !Ref AWS::NoValue]"; 2];
    assert_eq!(allowed.collect::<Vec<_>>(), expected);
    for function in ["WorkerFunction", "NotifierFunction"] {
        assert!(lines_of(&template, function).contains(&expected[0]), "{function}");
    }
    let condition = "  DetectsLoops: !And
    - !Equals [!Ref AWS::Partition, aws]
    - !Not [!Equals [!Ref AWS::Region, ap-southeast-6]]
    - !Not [!Equals [!Ref AWS::Region, mx-central-1]]
";
    assert!(template.contains(condition));
}

/// Regions of every partition: their names differ in more than their words.
#[test]
fn ses_may_be_in_a_region_of_any_partition() {
    let template = file("infra/template.yaml");
    let lines = lines_of(&template, "SesRegion");
    let pattern = lines.iter().find_map(|line| line.strip_prefix("AllowedPattern: ")).unwrap();
    let pattern = Regex::new(pattern).unwrap();
    for region in ["", "eu-west-1", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "eu-isoe-west-1"] {
        assert!(pattern.is_match(region), "{region}");
    }
    for other in ["eu-west", "EU-WEST-1", "eu-west-1.", "europe-west-1", "eu-west-1 "] {
        assert!(!pattern.is_match(other), "{other}");
    }
}

/// As a shell would, with commands of a test's own for those of AWS.
fn run_with_fakes(script: &str, fakes: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    for (name, body) in fakes {
        let path = directory.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", directory.path().display(), env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env("PATH", path).current_dir(directory.path());
    shell.output().unwrap()
}

/// The function of the runbook with this name: it ends with its last line.
fn function_of_the_runbook(name: &str) -> String {
    let runbook = file("infra/RUNBOOK.md");
    let lines = runbook.lines().skip_while(|line| !line.starts_with(&format!("{name}() {{")));
    let mut function = String::new();
    for line in lines {
        function.push_str(line);
        function.push('\n');
        if line.ends_with('}') {
            return function;
        }
    }
    panic!("the runbook has no function {name}");
}

/// The AWS CLI gives up waiting after 500 seconds. A restore takes longer.
#[test]
fn the_runbook_waits_for_a_restore_that_outlasts_the_cli_s_patience() {
    let restored = function_of_the_runbook("restored");
    let wait = "if [ \"$2\" = describe-table ]; then echo CREATING; exit; fi
        echo >> waits; [ \"$(wc -l < waits)\" -ge 3 ]";
    let script = format!("{restored}\nrestored a-table >/dev/null && wc -l < waits");
    let waited = run_with_fakes(&script, &[("aws", wait)]);
    assert_eq!(String::from_utf8_lossy(&waited.stdout).trim(), "3", "{waited:?}");

    // Without credentials or without a table, it does not wait for ever.
    let failed = run_with_fakes(&format!("{restored}\nrestored a-table"), &[("aws", "exit 255")]);
    assert!(!failed.status.success(), "{failed:?}");

    let runbook = file("infra/RUNBOOK.md");
    let waits = runbook.matches("aws dynamodb wait ").count();
    assert_eq!((waits, restored.matches("aws dynamodb wait ").count()), (1, 1), "a bare wait gives up");
}

/// All variables of a function together, names and values (Lambda quotas, "Function configuration").
const ENVIRONMENT_BYTES_MAX: usize = 4096;

/// With a longer one, the functions' names would be too long for Lambda.
const STACK_NAME: usize = 55;

/// What a variable takes beside its name and value, if Lambda counts them as JSON.
const OVERHEAD: usize = "\"\":\"\",".len();

#[test]
fn the_longest_settings_there_can_be_fit_what_lambda_has_for_them() {
    let template = file("infra/template.yaml");
    for function in ["ProducerFunction", "WorkerFunction", "NotifierFunction", "FeedbackFunction"] {
        let mut settings = BTreeMap::new();
        for part in ["Function", function] {
            let lines = lines_of(&template, part);
            let variables = lines.into_iter().filter_map(|line| line.split_once(": "));
            let is_variable = |name: &str| name.bytes().all(|b| b.is_ascii_uppercase() || b"_".contains(&b));
            settings.extend(variables.filter(|(name, _)| is_variable(name)));
        }
        assert!(settings.len() > 8, "{function}: {settings:?}");
        let bytes = |(name, value): (&&str, &&str)| name.len() + longest(&template, value) + OVERHEAD;
        let bytes: usize = settings.iter().map(bytes).sum();
        // No function starts with both: units are an organization's, and then no accounts are listed.
        let of_units = settings.get("ORGANIZATIONAL_UNITS").map_or(0, |value| longest(&template, value));
        let bytes = bytes - of_units;
        assert!(bytes <= ENVIRONMENT_BYTES_MAX, "{function}: {bytes} bytes");
    }
}

/// `CloudFormation` counts characters, Lambda bytes.
#[test]
fn a_setting_that_may_hold_any_letters_says_that_lambda_counts_bytes() {
    let template = file("infra/template.yaml");
    let functions =
        ["Function", "ProducerFunction", "WorkerFunction", "NotifierFunction", "FeedbackFunction"];
    let settings = functions.into_iter().flat_map(|function| lines_of(&template, function));
    let parameters = settings.filter_map(|line| line.split_once(": !Ref ")).map(|(_, name)| name);
    let mut any_letters = BTreeSet::new();
    for name in parameters.filter(|name| template.contains(&format!("\n  {name}:\n    Type: String\n"))) {
        let lines = lines_of(&template, name);
        let rule = |rule: &str| lines.iter().find_map(|line| line.strip_prefix(rule));
        let only_ascii = rule("AllowedValues:").is_some()
            || rule("AllowedPattern:").is_some_and(|pattern| pattern.is_ascii() && !pattern.contains("[^"));
        if !only_ascii {
            assert!(lines.join(" ").contains("Lambda counts bytes"), "{name}");
            any_letters.insert(name);
        }
    }
    assert_eq!(any_letters, BTreeSet::from(["OrganizationName", "SupportContact"]));
}

/// How long a value may be.
fn longest(template: &str, value: &str) -> usize {
    // A duration, a region, an account, a partition.
    const SHORT: usize = 15;
    // Before a queue's name, in the region with the longest name there is.
    const QUEUE_URL: usize = "https://sqs.cn-northwest-1.amazonaws.com.cn/123456789012/".len();
    if value.starts_with("!GetAtt ") && value.ends_with(".RoleId") {
        return "AROA".len() + 17;
    }
    let Some(name) = value.strip_prefix("!Ref ") else {
        assert!(
            ["!FindInMap ", "!If [SesIsElsewhere, ", "!If [IsPilot, ", "!If [BringsTemplates, "]
                .iter()
                .any(|known| value.starts_with(known)),
            "{value}"
        );
        return SHORT;
    };
    if name.starts_with("AWS::") {
        return if name == "AWS::StackName" { STACK_NAME } else { SHORT };
    }
    let lines = lines_of(template, name);
    let named = |rule: &str| {
        let name =
            lines.iter().find_map(|line| line.strip_prefix(rule)?.strip_prefix(" !Sub ${AWS::StackName}"));
        name.map(|suffix| STACK_NAME + suffix.len())
    };
    if let Some(name) = named("QueueName:") {
        return QUEUE_URL + name;
    }
    if let Some(name) = named("TableName:") {
        return name;
    }
    let rule = |rule: &str| lines.iter().find_map(|line| line.strip_prefix(rule)).map(str::trim);
    match (rule("MaxLength:"), rule("AllowedValues:"), rule("MaxValue:")) {
        (Some(length), ..) => length.parse().unwrap(),
        (_, Some(values), _) => values.split(", ").map(str::len).max().unwrap(),
        (.., Some(number)) => number.len(),
        _ => panic!("{name} may be as long as it likes"),
    }
}

#[test]
fn no_arn_names_a_partition() {
    for path in ["infra/template.yaml", "infra/member-role.yaml", "infra/ses.yaml"] {
        let template = file(path);
        let lines = template.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        for line in lines {
            for (_, partition) in line.match_indices("arn:").map(|(at, arn)| line[at..].split_at(arn.len())) {
                let any = ["${AWS::Partition}:", "aws[a-z-]*:"];
                assert!(any.iter().any(|any| partition.starts_with(any)), "{path}: {line}");
            }
        }
    }
}

#[test]
fn every_section_of_the_runbook_that_is_pointed_to_is_there() {
    let runbook = file("infra/RUNBOOK.md");
    let headings = runbook.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    let mut pointers = 0;
    for (path, pointer) in [
        ("infra/template.yaml", "infra/RUNBOOK.md#"),
        ("infra/member-role.yaml", "infra/RUNBOOK.md#"),
        ("infra/ses.yaml", "infra/RUNBOOK.md#"),
        ("README.md", "infra/RUNBOOK.md#"),
        ("infra/RUNBOOK.md", "](#"),
    ] {
        let text = file(path);
        for rest in text.split(pointer).skip(1) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && !"-_".contains(c)).unwrap_or(rest.len());
            assert!(anchors.contains(&rest[..end]), "{path} points to {}", &rest[..end]);
            pointers += 1;
        }
    }
    assert!(pointers > 50, "{pointers}");
}
