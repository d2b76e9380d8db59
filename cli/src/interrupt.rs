//! Ctrl-C and SIGTERM: the first asks to stop, the second ends the process. Before a command listens, either
//! ends it at once, as any process.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::terminal;

/// Whether the user wants us to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    asked: CancellationToken,
    /// What the second one leaves behind.
    leaves: Arc<Mutex<String>>,
}

impl Interrupt {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self> {
        let mut ctrl_c = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let interrupt = Self::default();
        let Self { asked, leaves } = interrupt.clone();
        tokio::spawn(async move {
            either(&mut ctrl_c, &mut terminate).await;
            asked.cancel();
            either(&mut ctrl_c, &mut terminate).await;
            let leaves = leaves.lock().unwrap_or_else(PoisonError::into_inner).clone();
            terminal::remark(format!("Ended at once. {leaves}").trim_end());
            process::exit(1);
        });
        Ok(interrupt)
    }

    /// From now on, a second interrupt says that the process leaves this behind.
    pub(crate) fn will_leave(&self, what: impl Into<String>) {
        *self.leaves.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// Whether it has been asked.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_cancelled()
    }

    /// Waits until it is asked.
    pub(crate) async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// What `work` comes to. It is dropped where the interrupt is first, which is an error.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.asked() => bail!("interrupted"),
            result = work => result,
        }
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
impl Interrupt {
    /// One that nobody asks.
    pub(crate) fn never() -> Self {
        Self::default()
    }

    /// Asks.
    pub(crate) fn ask(&self) {
        self.asked.cancel();
    }

    /// What a second one would leave behind now.
    pub(crate) fn leaves(&self) -> String {
        self.leaves.lock().unwrap().clone()
    }
}
