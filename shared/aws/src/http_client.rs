//! The HTTP client that all of the SDK's clients share, and with it one pool of connections.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// How long a connection may be idle and still be used again, by the monotonic clock.
///
/// AWS's services close idle connections, some after 20 seconds. A mail sent on such a connection may fail
/// without an answer, and an unanswered mail counts as possibly taken for a quarter of an hour. With
/// [`FROZEN_MAX`], no connection is idle for more than 15 seconds by any clock.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How long the process may have stood still since the pool of connections was made.
const FROZEN_MAX: Duration = Duration::from_secs(5);

/// One HTTP client, and so one pool of connections, for all clients, of which there is one for each account.
///
/// By itself, the SDK would set up TLS with every root certificate for each client that is made, and throw it
/// away.
///
/// Lambda freezes a function between two invocations, for minutes at times, and a laptop sleeps. The pool
/// drops connections that were idle for `IDLE_MAX`, but it reads the monotonic clock, which may stand still
/// in that time (`CLOCK_MONOTONIC` of a suspended machine does; AWS does not say what a frozen function's
/// does, and caches that relied on it have outlived their time in public reports). The clock of day goes on
/// or is set right. What it is ahead of the monotonic clock from call to call, the process stood still. After
/// `FROZEN_MAX` of that the pool is made anew, which costs a handshake for each service.
#[derive(Debug)]
pub struct OneHttpClient {
    tls: TlsContext,
    pool: Mutex<Pool>,
}

/// There is no certificate in a text.
#[derive(Debug, thiserror::Error)]
#[error("it holds no certificate in PEM")]
pub struct NoCertificates;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

#[derive(Debug)]
struct Pool {
    client: SharedHttpClient,
    clocks: Clocks,
}

/// What the clocks say about how long the process stood still.
#[derive(Debug, Default)]
struct Clocks {
    /// When the last call began, by the clock of day and the monotonic clock.
    last_call: Option<(SystemTime, Instant)>,
    /// How long the process has stood still since the pool was made.
    frozen: Duration,
}

impl Clocks {
    /// Whether the process has stood still for so long, as a call begins, that the pool must be made anew.
    ///
    /// Freezes add up: calls to one service do not keep the connections to another alive.
    fn outlive_the_pool(&mut self, of_day: SystemTime, monotonic: Instant) -> bool {
        if let Some((last_of_day, last_monotonic)) = self.last_call.replace((of_day, monotonic)) {
            // A clock of day that was set back proves no pause.
            let passed = of_day.duration_since(last_of_day).unwrap_or_default();
            self.frozen += passed.saturating_sub(monotonic.saturating_duration_since(last_monotonic));
        }
        let is_outlived = self.frozen > FROZEN_MAX;
        if is_outlived {
            self.frozen = Duration::ZERO;
        }
        is_outlived
    }
}

impl OneHttpClient {
    /// One that trusts the system's root certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    #[must_use]
    pub fn trusting_the_system() -> Self {
        Self::new(TlsContext::default())
    }

    /// One that trusts the root certificates in `pem`, and no others. It ignores certificates that cannot be
    /// read, as it does among the system's.
    pub fn trusting(pem: &[u8]) -> Result<Self, NoCertificates> {
        let mut readable = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
        // The SDK takes PEM alone, and panics about what it cannot read.
        let roots = certificates.filter(|certificate| readable.add(certificate.clone()).is_ok()).fold(
            TrustStore::empty(),
            |roots, certificate| {
                let base64 = BASE64_STANDARD.encode(&certificate);
                roots.with_pem_certificate(format!("{BEGIN}\n{base64}\n{END}\n"))
            },
        );
        if readable.is_empty() {
            return Err(NoCertificates);
        }
        let tls = TlsContext::builder().with_trust_store(roots).build();
        Ok(Self::new(tls.map_err(|_| NoCertificates)?))
    }

    fn new(tls: TlsContext) -> Self {
        let pool = Mutex::new(Pool { client: pooling(tls.clone()), clocks: Clocks::default() });
        Self { tls, pool }
    }

    /// Reads and decodes the root certificates, for the whole process.
    pub(crate) fn read_roots(&self) {
        drop(connector(&self.tls, None, None));
    }
}

impl HttpClient for OneHttpClient {
    /// The SDK asks for the connector at the start of every attempt of every call.
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let now = components.time_source().map_or_else(SystemTime::now, |clock| clock.now());
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.clocks.outlive_the_pool(now, Instant::now()) {
            pool.client = pooling(self.tls.clone());
        }
        pool.client.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.client.connector_metadata()
    }
}

/// A client with a pool of its own: as the SDK makes its default one, but for the timeout and the root
/// certificates.
fn pooling(tls: TlsContext) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| connector(&tls, settings, components))
}

fn connector(
    tls: &TlsContext,
    settings: Option<&HttpConnectorSettings>,
    components: Option<&RuntimeComponents>,
) -> Connector {
    let mut builder = Connector::builder()
        .pool_idle_timeout(IDLE_MAX)
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls.clone());
    builder.set_connector_settings(settings.cloned());
    if let Some(components) = components {
        builder.set_sleep_impl(components.sleep_impl());
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_freezes_between_calls_add_up() {
        let (mut of_day, monotonic) = (SystemTime::UNIX_EPOCH, Instant::now());
        let mut clocks = Clocks::default();
        let mut after_a_freeze_of = |seconds| {
            of_day += Duration::from_secs(seconds);
            clocks.outlive_the_pool(of_day, monotonic)
        };
        assert_eq!([0, 3, 2, 3, 3, 3].map(&mut after_a_freeze_of), [false, false, false, true, false, true]);
    }

    #[test]
    fn time_in_which_the_process_runs_is_no_freeze() {
        let mut clocks = Clocks::default();
        let began = Instant::now();
        for minutes in 0..5 {
            let passed = Duration::from_mins(minutes);
            assert!(!clocks.outlive_the_pool(SystemTime::UNIX_EPOCH + passed, began + passed));
        }
        assert!(!clocks.outlive_the_pool(SystemTime::UNIX_EPOCH, began), "the clock of day was set back");
    }
}
