//! What networks do to calls, with the client the functions have: which failures prove that a mail was not taken?

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::ConfigLoader;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_async::test_util::ManualTimeSource;
use keynudge_core::accounts::{MemberRole, RoleSession};
use keynudge_core::failure::{ASSUME_ROLE, CallFailed, FailureClass};
use keynudge_core::mail::Mail;
use keynudge_core::ports::{AccountAliases, Book, Envelope, IamByAccount, Mailer, Owner, SendQuotas};

use crate::accounts::IamAccounts;
use crate::replay::loader;
use crate::ses::{Sending, SesMailer};

/// Long enough for a busy machine to accept a connection in half of it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that does one and the same thing to each connection, and counts them.
struct Server {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// `serve` gets each connection with its number, from 1. It ends when `serve` drops it.
    fn start(serve: impl Fn(TcpStream, usize) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                serve(connection.unwrap(), counter.fetch_add(1, Ordering::SeqCst) + 1);
            }
        });
        Self { address, connections }
    }

    fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    fn https(&self) -> String {
        format!("https://{}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads one request to its end; `None` if none comes any more.
fn read_request(connection: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Some(String::from_utf8(body).unwrap())
}

fn answer(mut connection: &TcpStream, body: &str) {
    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
}

/// Keeps the connection open for as long as the process lives.
fn hold(connection: TcpStream) {
    std::mem::forget(connection);
}

/// An endpoint that nobody listens at.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

const SENT: &str =
    "<SendEmailResponse><SendEmailResult><MessageId>m</MessageId></SendEmailResult></SendEmailResponse>";

async fn send(endpoint: String) -> Result<(), CallFailed> {
    send_with(loader().endpoint_url(endpoint)).await
}

async fn mailer(loader: ConfigLoader) -> SesMailer {
    let sender = "keys@example.com".parse().unwrap();
    let sending = Sending { region: None, sender, reply_to: None, configuration_set: None };
    SesMailer::new(&loader.load().await, sending, ATTEMPT_TIMEOUT)
}

async fn send_with(loader: ConfigLoader) -> Result<(), CallFailed> {
    send_by(&mailer(loader).await).await
}

async fn send_by(mailer: &SesMailer) -> Result<(), CallFailed> {
    let owner = Owner {
        account_id: "123456789012".parse().unwrap(),
        user_id: "AIDAAAAAAAAAAAAAAAAA".parse().unwrap(),
        book: Book::Live,
    };
    let envelope = Envelope {
        to: &"jane@example.com".parse().unwrap(),
        owner: &owner,
        claim_id: &"5f0c-1".parse().unwrap(),
    };
    let text = String::from("Hello");
    mailer.send(&envelope, &Mail { subject: text.clone(), text: text.clone(), html: text }).await
}

fn assert_failed(sent: Result<(), CallFailed>, class: FailureClass, code: &str) {
    let error = sent.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (class, code), "{:?}", error.source);
}

#[tokio::test]
async fn a_mail_that_is_answered_is_sent() {
    let server = Server::start(|connection, _| {
        read_request(&connection);
        answer(&connection, SENT);
    });
    send(server.http()).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_mail_for_which_nobody_listens_was_not_taken() {
    assert_failed(send(nobody()).await, FailureClass::Retry, "no connection");
}

#[tokio::test]
async fn a_mail_for_a_name_that_does_not_resolve_was_not_taken() {
    // No label may be empty: nobody has to be asked.
    let sent = send("http://ses..invalid".to_owned()).await;
    assert_failed(sent, FailureClass::Retry, "no connection");
}

#[tokio::test]
async fn a_mail_for_which_tls_fails_was_not_taken() {
    let server = Server::start(|connection, _| drop(connection));
    assert_failed(send(server.https()).await, FailureClass::Retry, "no connection");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_mail_for_which_tls_takes_too_long_was_not_taken() {
    let server = Server::start(|connection, _| hold(connection));
    assert_failed(send(server.https()).await, FailureClass::Retry, "no connection");
}

#[tokio::test]
async fn a_mail_that_nobody_could_sign_was_not_taken() {
    let server = Server::start(|connection, _| hold(connection));
    let not_loaded = || CredentialsError::not_loaded("none");
    let out_of_order = || CredentialsError::provider_error("STS is throttled");
    let as_nobody = |error: fn() -> CredentialsError| {
        let provider = provide_credentials_fn(move || async move { Err(error()) });
        send_with(loader().endpoint_url(server.http()).credentials_provider(provider))
    };
    assert_failed(as_nobody(not_loaded).await, FailureClass::Operator, "credentials");
    assert_failed(as_nobody(out_of_order).await, FailureClass::Retry, "credentials");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_mail_that_waits_for_a_role_in_vain_was_not_taken() {
    let ses = Server::start(|connection, _| hold(connection));
    let sts = Server::start(|connection, _| drop(read_request(&connection)));
    let once = loader().retry_config(RetryConfig::disabled()).endpoint_url(sts.http()).load().await;
    let role = AssumeRoleProvider::builder("arn:aws:iam::111111111111:role/mailer").configure(&once);
    let sender = loader().endpoint_url(ses.http()).credentials_provider(role.build().await);
    let error = send_with(sender).await.unwrap_err();
    assert_eq!(error.call, ASSUME_ROLE);
    assert_failed(Err(error), FailureClass::Retry, "connection");
    assert_eq!((sts.connections(), ses.connections()), (1, 0));
}

#[tokio::test]
async fn a_mail_whose_connection_breaks_may_have_been_taken() {
    let before_the_request = Server::start(|connection, _| drop(connection));
    let after_the_request = Server::start(|connection, _| drop(read_request(&connection)));
    for server in [before_the_request, after_the_request] {
        assert_failed(send(server.http()).await, FailureClass::Unknown, "connection");
        assert_eq!(server.connections(), 1, "sent once");
    }
}

/// A server that answers one mail on each connection. It answers no second mail and closes the connection,
/// like a host that has forgotten it.
fn forgetful() -> Server {
    Server::start(|connection, _| {
        read_request(&connection);
        answer(&connection, SENT);
        read_request(&connection);
    })
}

/// Sends a mail, has `pause` pass, and sends another one.
async fn send_twice(server: &Server, loader: ConfigLoader, pause: impl AsyncFn()) -> Result<(), CallFailed> {
    let mailer = mailer(loader.endpoint_url(server.http())).await;
    send_by(&mailer).await.unwrap();
    pause().await;
    send_by(&mailer).await
}

/// Longer than any connection may be idle.
const LONG: Duration = Duration::from_secs(21);

/// A function that runs on, and has no mail to send for a while.
#[tokio::test]
async fn a_mail_after_a_quiet_time_is_sent_on_a_connection_of_its_own() {
    let server = forgetful();
    let pause = async || {
        tokio::time::pause();
        tokio::time::advance(LONG).await;
        tokio::time::resume();
    };
    send_twice(&server, loader(), pause).await.unwrap();
    assert_eq!(server.connections(), 2);
}

/// What Lambda does between two invocations: no clock of the process has to go on meanwhile but that of day.
#[tokio::test]
async fn a_mail_after_a_freeze_is_sent_on_a_connection_of_its_own() {
    let server = forgetful();
    let clock = ManualTimeSource::new(SystemTime::now());
    let freeze = async || {
        clock.advance(LONG);
    };
    send_twice(&server, loader().time_source(clock.clone()), freeze).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn mails_after_one_another_share_a_connection() {
    let server = Server::start(|connection, _| {
        while read_request(&connection).is_some() {
            answer(&connection, SENT);
        }
    });
    send_twice(&server, loader(), async || ()).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_mail_whose_answer_is_not_http_may_have_been_taken() {
    let server = Server::start(|connection, _| {
        read_request(&connection);
        (&connection).write_all(b"\x15\x03\x03\x00\x02\x02\x50").unwrap();
    });
    assert_failed(send(server.http()).await, FailureClass::Unknown, "connection");
    assert_eq!(server.connections(), 1, "sent once");
}

#[tokio::test]
async fn a_mail_whose_answer_ends_early_may_have_been_taken() {
    for status in ["200 OK", "400 Bad Request"] {
        let server = Server::start(move |connection, _| {
            read_request(&connection);
            write!(&connection, "HTTP/1.1 {status}\r\nContent-Length: 100\r\n\r\n<SendEmail").unwrap();
        });
        assert_failed(send(server.http()).await, FailureClass::Unknown, "unreadable answer");
        assert_eq!(server.connections(), 1, "sent once");
    }
}

#[tokio::test]
async fn a_mail_whose_answer_does_not_come_may_have_been_taken() {
    let server = Server::start(|connection, _| hold(connection));
    assert_failed(send(server.http()).await, FailureClass::Unknown, "timeout");
    assert_eq!(server.connections(), 1, "sent once");
}

#[tokio::test]
async fn a_call_that_may_be_repeated_survives_a_broken_connection() {
    let server = Server::start(|connection, number| {
        read_request(&connection);
        if number > 1 {
            answer(&connection, "<GetSendQuotaResponse><GetSendQuotaResult/></GetSendQuotaResponse>");
        }
    });
    mailer(loader().endpoint_url(server.http())).await.send_quota().await.unwrap();
    assert_eq!(server.connections(), 2);
}

const ROLE: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
                    <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
                    <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
                    </AssumeRoleResponse>";

const ALIASES: &str = "<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases/>\
                       <IsTruncated>false</IsTruncated></ListAccountAliasesResult></ListAccountAliasesResponse>";

async fn accounts(endpoint: String) -> IamAccounts {
    let role = MemberRole {
        partition: "aws".parse().unwrap(),
        name: "keynudge-member".parse().unwrap(),
        external_id: None,
        session: RoleSession { name: "keynudge-tests", actions: &["iam:ListAccountAliases"] },
    };
    let sdk = loader().endpoint_url(endpoint).load().await;
    IamAccounts::without_retries(&sdk, "123456789012".parse().unwrap(), Some(role))
}

#[tokio::test]
async fn all_accounts_share_their_connections() {
    let server = Server::start(|connection, _| {
        while let Some(request) = read_request(&connection) {
            answer(&connection, if request.contains("AssumeRole") { ROLE } else { ALIASES });
        }
    });
    let accounts = accounts(server.http()).await;
    for account in ["123456789012", "111111111111", "222222222222"] {
        accounts.iam(&account.parse().unwrap()).await.alias().await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_account_whose_role_nobody_listens_for_is_tried_again() {
    let accounts = accounts(nobody()).await;
    let error = accounts.iam(&"111111111111".parse().unwrap()).await.alias().await.unwrap_err();
    assert_eq!(error.call, ASSUME_ROLE);
    assert_failed(Err(error), FailureClass::Retry, "no connection");
}
