//! The real template, deployed through `CloudFormation` into one account of the emulator.
//!
//! What is done here is what `sam deploy` does: the functions' zips go to S3, each `CodeUri` is replaced by where its
//! zip is, and a stack is made of the template, transform and all. Everything else stays as it is in the file.

use std::collections::BTreeMap;
use std::env::consts;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, iter};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::aws::{
    CLOUDFORMATION, Client, GET_FUNCTION_CONFIGURATION, GET_SCHEDULE, IAM, INVOKE,
    LIST_EVENT_SOURCE_MAPPINGS, REGION, SES, UPDATE_EVENT_SOURCE_MAPPING, UPDATE_FUNCTION_CONFIGURATION,
    UPDATE_SCHEDULE,
};
use crate::functions::{Function, Packages};
use crate::population::DOMAIN;
use crate::{Error, Result, workspace};

const TEMPLATE_KEY: &str = "template.yaml";

const DEPLOY_TIMEOUT: Duration = Duration::from_mins(5);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A schedule that lies too far ahead to fire by itself: runs begin when [`Deployment::fire`] says so.
const NEVER: &str = "at(2999-12-31T00:00:00)";

/// Who Keynudge's mails are from.
#[must_use]
pub fn sender() -> String {
    format!("keynudge@{DOMAIN}")
}

/// The stack's parameters, as far as they are not the template's defaults.
#[derive(Clone, Debug)]
pub struct Parameters(BTreeMap<String, String>);

impl Default for Parameters {
    /// What every testbed needs: a sender, a schedule that waits, this machine's architecture, and mails for all of an account's
    /// owners, of whom there are more here than in most.
    fn default() -> Self {
        let architecture = if consts::ARCH == "aarch64" { "arm64" } else { consts::ARCH };
        Self(BTreeMap::new())
            .with("Sender", sender())
            .with("DefaultDomain", DOMAIN)
            .with("ScheduleExpression", NEVER)
            .with("MaxMailsPerAccount", "100000")
            .with("Architecture", architecture)
    }
}

impl Parameters {
    /// The default ones, but for rates that hold nobody up: here, IAM and SES are nobody else's.
    #[must_use]
    pub fn unpaced() -> Self {
        Self::default().with("IamCallsPerSecond", "10000").with_all_of_ses()
    }

    /// With all of SES's rate and quota, not half of them.
    #[must_use]
    pub fn with_all_of_ses(self) -> Self {
        self.with("MailsPerSecond", "9999").with("MailsPerDay", "9999999")
    }

    /// Sets one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Leaves one to the template's default.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Sets these.
    #[must_use]
    pub fn with_all(mut self, others: &Self) -> Self {
        self.0.extend(others.0.clone());
        self
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl FromIterator<(String, String)> for Parameters {
    /// These, and no others.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(parameters: I) -> Self {
        Self(parameters.into_iter().collect())
    }
}

/// The stack's outputs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Outputs {
    /// The producer's function.
    pub producer_function_name: String,
    /// The worker's function.
    pub worker_function_name: String,
    /// The notifier's function.
    pub notifier_function_name: String,
    /// The function that hears from SES.
    pub feedback_function_name: String,
    /// The schedule; empty where the emulator's `CloudFormation` makes none.
    #[serde(default)]
    pub schedule_name: String,
    /// Accounts to scan.
    pub accounts_queue_url: String,
    /// Accounts given up.
    pub accounts_dead_letter_queue_url: String,
    /// Users to check.
    pub users_queue_url: String,
    /// Users given up.
    pub users_dead_letter_queue_url: String,
    /// Owners to mail.
    pub findings_queue_url: String,
    /// Owners given up.
    pub findings_dead_letter_queue_url: String,
    /// Events of SES.
    pub feedback_queue_url: String,
    /// Events of SES given up.
    pub feedback_dead_letter_queue_url: String,
    /// Runs that never started.
    pub schedule_dead_letter_queue_url: String,
    /// Runs whose start failed.
    pub producer_failures_queue_url: String,
    /// What is known about each owner's mails.
    pub ledger_table_name: String,
    /// The role the producer works as.
    pub producer_role_arn: String,
    /// The role the worker works as.
    pub worker_role_arn: String,
}

impl Outputs {
    /// A function's name.
    #[must_use]
    pub fn function_name(&self, function: Function) -> &str {
        match function {
            Function::Producer => &self.producer_function_name,
            Function::Worker => &self.worker_function_name,
            Function::Notifier => &self.notifier_function_name,
            Function::Feedback => &self.feedback_function_name,
        }
    }

    /// The queues that are empty when there is nothing to do.
    #[must_use]
    pub fn queue_urls(&self) -> [&str; 4] {
        [&self.accounts_queue_url, &self.users_queue_url, &self.findings_queue_url, &self.feedback_queue_url]
    }

    /// The queues that are empty when nothing went wrong.
    #[must_use]
    pub fn dead_letter_queue_urls(&self) -> [&str; 6] {
        [
            &self.accounts_dead_letter_queue_url,
            &self.users_dead_letter_queue_url,
            &self.findings_dead_letter_queue_url,
            &self.feedback_dead_letter_queue_url,
            &self.schedule_dead_letter_queue_url,
            &self.producer_failures_queue_url,
        ]
    }
}

/// A deployed stack.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Its account.
    pub aws: Client,
    /// What it made.
    pub outputs: Outputs,
    /// Its name.
    pub stack: String,
    resources: Vec<Resource>,
}

/// What the stack made of one of the template's resources.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resource {
    /// What the template calls it.
    pub logical_resource_id: String,
    /// Its name, or whatever else identifies it.
    pub physical_resource_id: String,
    /// Such as `AWS::IAM::Role`.
    pub resource_type: String,
}

impl Deployment {
    /// Deploys the template, and verifies the sender with SES.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] if the template is not as expected, [`Error::Stack`] if it cannot be deployed, and whatever
    /// a call may answer.
    pub async fn create(aws: Client, packages: &Packages, parameters: &Parameters) -> Result<Self> {
        let template = template_with(parameters)?;
        verify_sender(&aws).await?;
        // Functions are named by their stack, and the emulator mixes up functions of one name: a new one ends the
        // processes of its namesakes in all accounts.
        let stack = format!("keynudge-{}", aws.account());
        let template = upload(&aws, packages, template).await?;
        request(&aws, "CreateStack", &stack, ("TemplateURL", &template), parameters).await?;
        let outputs = wait_for(&aws, "CREATE", &stack).await?.outputs()?;
        correct_event_source_mappings(&aws).await?;
        let resources = describe_resources(&aws, &stack).await?;
        Ok(Self { aws, outputs, stack, resources })
    }

    /// The same where `CloudFormation` knows no transform: `expand` makes the template one without, as text.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create), and whatever `expand` says.
    pub(crate) async fn create_expanded(
        aws: Client,
        packages: &Packages,
        parameters: &Parameters,
        expand: impl AsyncFnOnce(String) -> Result<String>,
    ) -> Result<Self> {
        let template = template_with(parameters)?;
        verify_sender(&aws).await?;
        let stack = format!("keynudge-{}", aws.account());
        let template = expand(upload_functions(&aws, packages, template).await?).await?;
        request(&aws, "CreateStack", &stack, ("TemplateBody", &template), parameters).await?;
        let outputs = wait_for(&aws, "CREATE", &stack).await?.outputs()?;
        // moto lists them without the template's names.
        let resources = Vec::new();
        Ok(Self { aws, outputs, stack, resources })
    }

    /// Gives the stack other parameters; queues and table stay, with what is in them.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] if the template has no such parameter, [`Error::Stack`] if it cannot be updated,
    /// and whatever a call may answer.
    pub async fn update(&self, parameters: &Parameters) -> Result<()> {
        template_with(parameters)?;
        request(&self.aws, "UpdateStack", &self.stack, ("UsePreviousTemplate", "true"), parameters).await?;
        wait_for(&self.aws, "UPDATE", &self.stack).await?;
        correct_event_source_mappings(&self.aws).await
    }

    /// Deletes the stack: nothing of it keeps the emulator busy from then on.
    ///
    /// # Errors
    ///
    /// [`Error::Stack`] if it cannot be deleted, and whatever a call may answer.
    pub async fn delete(self) -> Result<()> {
        let name = [("StackName", &*self.stack)];
        let _: IgnoredAny = self.aws.query(CLOUDFORMATION, "DeleteStack", &name).await?;
        match wait_for(&self.aws, "DELETE", &self.stack).await {
            // A stack that is gone has no name any more.
            Ok(_) | Err(Error::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// All that the stack made.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// All that the stack made of one type.
    pub fn resources_of_type(&self, resource_type: &str) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(move |resource| resource.resource_type == resource_type)
    }

    /// The name of what the template calls `logical_id`.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] if it has no such resource.
    pub fn resource(&self, logical_id: &str) -> Result<&str> {
        let resource = self.resources.iter().find(|one| one.logical_resource_id == logical_id);
        let name = resource.map(|resource| &*resource.physical_resource_id);
        name.ok_or_else(|| template_problem(format!("it makes no resource called {logical_id}")))
    }

    /// Has a function be fed from its queue, or not.
    ///
    /// # Errors
    ///
    /// Whatever the calls to Lambda answer.
    pub async fn set_fed(&self, function: Function, is_fed: bool) -> Result<()> {
        let name = self.outputs.function_name(function);
        for mapping in event_source_mappings(&self.aws).await? {
            let is_its =
                mapping["FunctionArn"].as_str().is_some_and(|arn| arn.rsplit(':').next() == Some(name));
            let Some(id) = mapping["UUID"].as_str().filter(|_| is_its) else { continue };
            update_event_source_mapping(&self.aws, id, &json!({ "Enabled": is_fed })).await?;
        }
        Ok(())
    }

    /// Starts a run, through the schedule: it is given a time that has passed, so that it fires at the emulator's next
    /// look, and never again. `as_of` stands in for the scheduled time, which the emulator does not fill in.
    ///
    /// # Errors
    ///
    /// Whatever the calls to Scheduler answer.
    pub async fn fire(&self, as_of: Option<&str>) -> Result<()> {
        let path = format!("/schedules/{}", self.outputs.schedule_name);
        let mut schedule = self.aws.rest(GET_SCHEDULE, &path, None).await?;
        schedule["ScheduleExpression"] = json!("at(2000-01-01T00:00:00)");
        if let Some(as_of) = as_of {
            let input = schedule["Target"]["Input"].as_str().unwrap_or_default();
            let mut input: Value = serde_json::from_str(input)
                .map_err(|error| template_problem(format!("the schedule's input is no JSON: {error}")))?;
            input["as_of"] = json!(as_of);
            schedule["Target"]["Input"] = json!(input.to_string());
        }
        self.aws.rest(UPDATE_SCHEDULE, &path, Some(&schedule)).await.map(drop)
    }

    /// The environment variables the template gives a function.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] if it gives none, and whatever the call to Lambda answers.
    pub async fn variables(&self, function: Function) -> Result<BTreeMap<String, String>> {
        let mut configuration = self.configuration(function).await?;
        let variables: BTreeMap<String, Value> =
            serde_json::from_value(configuration["Environment"]["Variables"].take()).map_err(|error| {
                template_problem(format!("{}'s variables: {error}", function.logical_id()))
            })?;
        // moto answers with numbers where the template's parameters are numbers.
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(variables.into_iter().map(|(name, value)| (name, text(value))).collect())
    }

    /// The environment variables of a function's process: what the template says, and what Lambda adds.
    ///
    /// # Errors
    ///
    /// What [`variables`](Self::variables), [`memory_mb`](Self::memory_mb) and [`sender_id`](Self::sender_id) may return.
    pub async fn variables_of_process(&self, function: Function) -> Result<Vec<(String, String)>> {
        let mut variables: Vec<_> = self.variables(function).await?.into_iter().collect();
        let memory_mb = self.memory_mb(function).await?.to_string();
        // By its token, the emulators know who sends a message.
        let sender_id = self.sender_id(function).await?;
        let of_lambda = [
            ("AWS_LAMBDA_FUNCTION_NAME", self.outputs.function_name(function)),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &*memory_mb),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", self.aws.account().as_str()),
            ("AWS_SECRET_ACCESS_KEY", "any"),
            ("AWS_SESSION_TOKEN", &*sender_id),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
        ];
        variables.extend(of_lambda.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(variables)
    }

    /// How SQS names a function as the sender of its messages: the unique id of its role, and its own name.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] if it has no role, and whatever the calls to Lambda and IAM answer.
    pub async fn sender_id(&self, function: Function) -> Result<String> {
        let configuration = self.configuration(function).await?;
        let role = configuration["Role"].as_str().and_then(|arn| arn.rsplit('/').next());
        let role = role.ok_or_else(|| template_problem(format!("{} has no role", function.logical_id())))?;
        let role: GetRoleResponse = self.aws.query(IAM, "GetRole", &[("RoleName", role)]).await?;
        Ok(format!("{}:{}", role.result.role.id, self.outputs.function_name(function)))
    }

    /// Gives a function an environment variable beside those of the template.
    ///
    /// # Errors
    ///
    /// What [`variables`](Self::variables) may return, and whatever the call to Lambda answers.
    pub async fn set_variable(&self, function: Function, name: &str, value: &str) -> Result<()> {
        let mut variables = self.variables(function).await?;
        variables.insert(name.to_owned(), value.to_owned());
        let path = format!("{}/configuration", self.function_path(function));
        let configuration = json!({ "Environment": { "Variables": variables } });
        self.aws.rest(UPDATE_FUNCTION_CONFIGURATION, &path, Some(&configuration)).await.map(drop)
    }

    /// The memory the template gives a function, in MB.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] if it gives none, and whatever the call to Lambda answers.
    pub async fn memory_mb(&self, function: Function) -> Result<u64> {
        let configuration = self.configuration(function).await?;
        let memory = configuration["MemorySize"].as_u64();
        memory.ok_or_else(|| template_problem(format!("{} has no memory", function.logical_id())))
    }

    pub(crate) async fn configuration(&self, function: Function) -> Result<Value> {
        let path = format!("{}/configuration", self.function_path(function));
        self.aws.rest(GET_FUNCTION_CONFIGURATION, &path, None).await
    }

    /// Invokes a function with an event, and waits for its answer.
    ///
    /// # Errors
    ///
    /// Whatever the call to Lambda answers.
    pub async fn invoke(&self, function: Function, event: &Value) -> Result<Value> {
        let path = format!("{}/invocations", self.function_path(function));
        self.aws.rest(INVOKE, &path, Some(event)).await
    }

    fn function_path(&self, function: Function) -> String {
        format!("/2015-03-31/functions/{}", self.outputs.function_name(function))
    }
}

#[derive(Deserialize)]
struct GetRoleResponse {
    #[serde(rename = "GetRoleResult")]
    result: GetRoleResult,
}

#[derive(Deserialize)]
struct GetRoleResult {
    #[serde(rename = "Role")]
    role: Role,
}

#[derive(Deserialize)]
struct Role {
    #[serde(rename = "RoleId")]
    id: String,
}

/// `infra/ses.yaml`, deployed: what SES says of mails goes to a topic.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SesStack {
    /// The set to send with.
    #[serde(rename = "ConfigurationSetName")]
    pub configuration_set: String,
    /// The topic of its events.
    pub events_topic_arn: String,
}

impl SesStack {
    /// Deploys it, in the client's region.
    ///
    /// # Errors
    ///
    /// [`Error::Stack`] if it cannot be deployed, and whatever a call may answer.
    pub async fn create(aws: &Client) -> Result<Self> {
        Self::create_as(&format!("keynudge-{}-ses", aws.account()), aws).await
    }

    /// The same, under a name of one's own.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create).
    pub async fn create_as(stack: &str, aws: &Client) -> Result<Self> {
        let path = workspace::root().join("infra/ses.yaml");
        let template = fs::read_to_string(&path).map_err(Error::file("reading", &path))?;
        let form = [("StackName", stack), ("TemplateBody", &*template)];
        let _: IgnoredAny = aws.query(CLOUDFORMATION, "CreateStack", &form).await?;
        wait_for(aws, "CREATE", stack).await?.outputs()
    }
}

/// Deploys `infra/member-role.yaml` with these parameters, into an account that Keynudge looks after from another one.
///
/// # Errors
///
/// [`Error::Stack`] if it cannot be deployed, and whatever a call may answer.
pub async fn create_member_role(aws: &Client, parameters: &[(&'static str, &str)]) -> Result<()> {
    let path = workspace::root().join("infra/member-role.yaml");
    let template = fs::read_to_string(&path).map_err(Error::file("reading", &path))?;
    let named = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let parameters = named.collect();
    let stack = format!("keynudge-{}-member", aws.account());
    request(aws, "CreateStack", &stack, ("TemplateBody", &template), &parameters).await?;
    wait_for(aws, "CREATE", &stack).await.map(drop)
}

/// What [`deploy`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployed {
    /// There is a stack now.
    Created,
    /// The stack there was is another now.
    Updated,
    /// The stack there was is what it would have been made.
    Unchanged,
}

/// What `sam deploy --stack-name STACK` does: makes the stack, or updates the one of that name. Where it updates, a parameter that
/// is not given keeps its value; where it makes the stack, `at_first` are set beside those given.
///
/// # Errors
///
/// [`Error::Template`] if the template is not as expected or has no parameter of a given name, [`Error::Stack`] if it
/// cannot be deployed, and whatever a call may answer.
pub async fn deploy(
    aws: &Client,
    stack: &str,
    packages: &Packages,
    at_first: &Parameters,
    given: &Parameters,
) -> Result<Deployed> {
    let template = template_with(given)?;
    let existing = match describe_stack(aws, stack).await {
        // It says so of a stack that is not there.
        Err(Error::Refused { code, .. }) if code == "ValidationError" => None,
        existing => Some(existing?),
    };
    let parameters = existing.as_ref().map_or_else(|| at_first.clone(), Stack::parameters).with_all(given);
    let (operation, kind, deployed) = match existing {
        Some(_) => ("UpdateStack", "UPDATE", Deployed::Updated),
        None => ("CreateStack", "CREATE", Deployed::Created),
    };
    let template = upload(aws, packages, template).await?;
    match request(aws, operation, stack, ("TemplateURL", &template), &parameters).await {
        Err(Error::Refused { message, .. }) if message == "No updates are to be performed." => {
            return Ok(Deployed::Unchanged);
        }
        requested => requested?,
    }
    wait_for(aws, kind, stack).await?;
    correct_event_source_mappings(aws).await?;
    Ok(deployed)
}

/// Has SES know the sender.
///
/// # Errors
///
/// Whatever the call may answer.
pub async fn verify_sender(aws: &Client) -> Result<()> {
    let sender = [("EmailAddress", &*sender())];
    let _: IgnoredAny = aws.query(SES, "VerifyEmailIdentity", &sender).await?;
    Ok(())
}

/// Puts functions and template where `CloudFormation` finds them, and returns where the template is.
async fn upload(aws: &Client, packages: &Packages, template: String) -> Result<String> {
    let template = upload_functions(aws, packages, template).await?;
    let bucket = bucket(aws);
    aws.put_object(&bucket, TEMPLATE_KEY, template.into_bytes()).await?;
    Ok(format!("{}/{bucket}/{TEMPLATE_KEY}", aws.endpoint()))
}

/// Buckets have one name space for all accounts.
fn bucket(aws: &Client) -> String {
    format!("keynudge-deployment-{}", aws.account())
}

/// Puts functions where `CloudFormation` finds them, and returns the template that says where.
async fn upload_functions(aws: &Client, packages: &Packages, mut template: String) -> Result<String> {
    let bucket = bucket(aws);
    aws.create_bucket(&bucket).await?;
    for function in Function::ALL {
        let zip = packages.zip(function);
        let key = package_key(function, zip);
        aws.put_object(&bucket, &key, zip.to_vec()).await?;
        template = with_code_uri(&template, function.logical_id(), &format!("s3://{bucket}/{key}"))?;
    }
    Ok(template)
}

/// It changes with the zip, as SAM has it: by that, `CloudFormation` knows that there is something to update.
fn package_key(function: Function, zip: &[u8]) -> String {
    let hash = Sha256::digest(zip).iter().take(8).fold(0_u64, |hash, &byte| hash << 8 | u64::from(byte));
    format!("{}-{hash:016x}.zip", function.binary())
}

/// Checks that the template has a parameter of this name. Every deployment checks its parameters; a command
/// line may do so before it builds the functions.
///
/// # Errors
///
/// [`Error::Template`] if it has none.
pub fn check_parameter(name: &str) -> Result<()> {
    check_parameters(&read_template()?, [name])
}

fn check_parameters<'a>(template: &str, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    match names.into_iter().find(|name| !has_parameter(template, name)) {
        Some(name) => Err(template_problem(format!("it has no parameter called {name}"))),
        None => Ok(()),
    }
}

/// The template, which has these parameters.
fn template_with(parameters: &Parameters) -> Result<String> {
    let template = read_template()?;
    check_parameters(&template, parameters.iter().map(|(name, _)| name))?;
    Ok(template)
}

fn template_path() -> PathBuf {
    workspace::root().join("infra/template.yaml")
}

fn read_template() -> Result<String> {
    let path = template_path();
    fs::read_to_string(&path).map_err(Error::file("reading", &path))
}

/// Whether a template has a parameter of this name. `CloudFormation` asks that of all it is given; the emulator overlooks
/// those it does not know.
fn has_parameter(template: &str, name: &str) -> bool {
    let lines = template.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let mut section = lines.take_while(|line| !line.starts_with(|first: char| first.is_ascii_alphabetic()));
    section.any(|line| line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')) == Some(name))
}

fn template_problem(problem: String) -> Error {
    Error::Template { template: template_path(), problem }
}

/// The template with one function's `CodeUri` replaced. The rest of the text stays as it is, byte for byte.
fn with_code_uri(template: &str, logical_id: &str, code_uri: &str) -> Result<String> {
    const PROPERTY: &str = "CodeUri:";
    let missing = || template_problem(format!("{logical_id} has no {PROPERTY} of its own"));
    let heading = format!("\n  {logical_id}:\n");
    let start = template.find(&heading).ok_or_else(missing)? + heading.len();
    let resource = &template[start..];
    let end = start + end_of_resource(resource);
    let property = start + template[start..end].find(PROPERTY).ok_or_else(missing)?;
    let value = property + PROPERTY.len();
    let line_end = value + template[value..].find('\n').ok_or_else(missing)?;
    Ok(format!("{} {code_uri}{}", &template[..value], &template[line_end..]))
}

/// A resource ends where the next line is indented no deeper than its name.
fn end_of_resource(text: &str) -> usize {
    let outside = |line: &str| !line.starts_with("   ") && !line.trim().is_empty();
    let inside = text.split_inclusive('\n').take_while(|line| !outside(line));
    inside.map(str::len).sum()
}

/// Asks for a stack to be made or changed. `template` is how the request names it.
async fn request(
    aws: &Client,
    operation: &str,
    stack: &str,
    template: (&str, &str),
    Parameters(parameters): &Parameters,
) -> Result<()> {
    let mut form = vec![
        ("StackName".to_owned(), stack.to_owned()),
        (template.0.to_owned(), template.1.to_owned()),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_NAMED_IAM".to_owned()),
        ("Capabilities.member.2".to_owned(), "CAPABILITY_AUTO_EXPAND".to_owned()),
    ];
    for (member, (name, value)) in iter::zip(1.., parameters) {
        form.push((format!("Parameters.member.{member}.ParameterKey"), name.clone()));
        form.push((format!("Parameters.member.{member}.ParameterValue"), value.clone()));
    }
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
    let _: IgnoredAny = aws.query(CLOUDFORMATION, operation, &form).await?;
    Ok(())
}

/// Waits until what was asked for, `CREATE` or `UPDATE`, is complete.
async fn wait_for(aws: &Client, what: &str, name: &str) -> Result<Stack> {
    let deadline = Instant::now() + DEPLOY_TIMEOUT;
    loop {
        let stack = describe_stack(aws, name).await?;
        match stack.status.strip_prefix(what) {
            Some("_COMPLETE") => return Ok(stack),
            Some("_IN_PROGRESS" | "_COMPLETE_CLEANUP_IN_PROGRESS") if Instant::now() < deadline => {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            _ => {
                let events = failures(aws, name).await?;
                return Err(Error::Stack { stack: name.to_owned(), status: stack.status, events });
            }
        }
    }
}

/// `CloudFormation` makes a number of a parameter where a number belongs. The emulator leaves it a string, and its poller
/// then fails on `MaximumConcurrency`.
async fn correct_event_source_mappings(aws: &Client) -> Result<()> {
    for mapping in event_source_mappings(aws).await? {
        let concurrency = &mapping["ScalingConfig"]["MaximumConcurrency"];
        let number: Option<u32> = concurrency.as_str().and_then(|text| text.parse().ok());
        let (Some(number), Some(id)) = (number, mapping["UUID"].as_str()) else { continue };
        let correction = json!({ "ScalingConfig": { "MaximumConcurrency": number } });
        update_event_source_mapping(aws, id, &correction).await?;
    }
    Ok(())
}

const EVENT_SOURCE_MAPPINGS: &str = "/2015-03-31/event-source-mappings";

pub(crate) async fn event_source_mappings(aws: &Client) -> Result<Vec<Value>> {
    let mut answer = aws.rest(LIST_EVENT_SOURCE_MAPPINGS, EVENT_SOURCE_MAPPINGS, None).await?;
    Ok(answer["EventSourceMappings"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

async fn update_event_source_mapping(aws: &Client, id: &str, change: &Value) -> Result<()> {
    let path = format!("{EVENT_SOURCE_MAPPINGS}/{id}");
    aws.rest(UPDATE_EVENT_SOURCE_MAPPING, &path, Some(change)).await.map(drop)
}

async fn describe_stack(aws: &Client, name: &str) -> Result<Stack> {
    let name = [("StackName", name)];
    let response: DescribeStacksResponse = aws.query(CLOUDFORMATION, "DescribeStacks", &name).await?;
    Ok(response.result.stacks.member)
}

/// The resources that could not be made, each with the reason.
async fn failures(aws: &Client, name: &str) -> Result<String> {
    let name = [("StackName", name)];
    let response: DescribeStackEventsResponse =
        aws.query(CLOUDFORMATION, "DescribeStackEvents", &name).await?;
    let events = response.result.stack_events.member.into_iter();
    let failed = events.filter(|event| event.resource_status.ends_with("FAILED"));
    let lines: Vec<String> = failed
        .map(|event| format!("  {}: {}", event.logical_resource_id, event.resource_status_reason))
        .collect();
    Ok(lines.join("\n"))
}

async fn describe_resources(aws: &Client, name: &str) -> Result<Vec<Resource>> {
    let name = [("StackName", name)];
    let response: DescribeStackResourcesResponse =
        aws.query(CLOUDFORMATION, "DescribeStackResources", &name).await?;
    Ok(response.result.stack_resources.member)
}

#[derive(Deserialize)]
struct DescribeStacksResponse {
    #[serde(rename = "DescribeStacksResult")]
    result: DescribeStacksResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStacksResult {
    stacks: Member<Stack>,
}

/// The only element of a list.
#[derive(Deserialize)]
struct Member<T> {
    member: T,
}

/// A list, as Query services write it.
#[derive(Debug, Deserialize)]
pub struct Members<T> {
    /// Its elements; an empty list has no member at all.
    #[serde(default = "Vec::new")]
    pub member: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stack {
    #[serde(rename = "StackStatus")]
    status: String,
    outputs: Option<Members<Output>>,
    parameters: Option<Members<Parameter>>,
}

impl Stack {
    fn parameters(&self) -> Parameters {
        let parameters = self.parameters.iter().flat_map(|parameters| &parameters.member);
        parameters.map(|one| (one.parameter_key.clone(), one.parameter_value.clone())).collect()
    }

    fn outputs<T: DeserializeOwned>(self) -> Result<T> {
        let outputs = self.outputs.map_or_else(Vec::new, |outputs| outputs.member);
        let named = outputs.into_iter().map(|output| (output.output_key, json!(output.output_value)));
        serde_json::from_value(Value::Object(named.collect()))
            .map_err(|error| template_problem(format!("its outputs: {error}")))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    output_key: String,
    output_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    parameter_key: String,
    #[serde(default)]
    parameter_value: String,
}

#[derive(Deserialize)]
struct DescribeStackEventsResponse {
    #[serde(rename = "DescribeStackEventsResult")]
    result: DescribeStackEventsResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStackEventsResult {
    stack_events: Members<StackEvent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StackEvent {
    logical_resource_id: String,
    resource_status: String,
    #[serde(default)]
    resource_status_reason: String,
}

#[derive(Deserialize)]
struct DescribeStackResourcesResponse {
    #[serde(rename = "DescribeStackResourcesResult")]
    result: DescribeStackResourcesResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStackResourcesResult {
    stack_resources: Members<Resource>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "\
Resources:
  WorkerFunction:
    Type: AWS::Serverless::Function

    Properties:
      CodeUri: ../functions/worker
      Role: !GetAtt WorkerRole.Arn
  WorkerRole:
    Type: AWS::IAM::Role
    Properties: { CodeUri: not this one }
";

    #[test]
    fn only_the_code_uri_of_the_named_function_is_replaced() {
        let prepared = with_code_uri(TEMPLATE, "WorkerFunction", "s3://bucket/worker.zip").unwrap();
        assert_eq!(prepared, TEMPLATE.replace("../functions/worker", "s3://bucket/worker.zip"));
    }

    #[test]
    fn a_template_has_the_parameters_that_it_names() {
        let template = "Parameters:\n  Sender:\n    Type: String\n\n# Who.\n  Mode:\n    Type: String\nResources:\n  Queue:\n";
        for (name, is_there) in
            [("Sender", true), ("Mode", true), ("Type", false), ("Queue", false), ("", false)]
        {
            assert_eq!(has_parameter(template, name), is_there, "{name}");
        }
    }

    #[test]
    fn a_deployment_with_a_parameter_that_the_template_lacks_is_refused() {
        assert!(template_with(&Parameters::default()).is_ok());
        let mistyped = Parameters::default().with("Sendr", "a@corp.example");
        let error = template_with(&mistyped).map(drop).unwrap_err();
        assert!(error.to_string().contains("it has no parameter called Sendr"), "{error}");
    }

    #[test]
    fn a_resource_without_a_code_uri_is_an_error_that_names_it() {
        let template = TEMPLATE.replace("      CodeUri: ../functions/worker\n", "");
        let error = with_code_uri(&template, "WorkerFunction", "s3://b/k").unwrap_err();
        assert!(error.to_string().contains("WorkerFunction"), "{error}");
    }
}
