//! Ctrl-C and SIGTERM: the first asks to stop, the second ends the process.

use std::process;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::terminal;

/// Whether the user wants us to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on. `last_words` are what is said when the second one ends the process.
    pub(crate) fn listen(last_words: String) -> anyhow::Result<Self> {
        let mut ctrl_c = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let (asked, interrupt) = watch::channel(false);
        tokio::spawn(async move {
            either(&mut ctrl_c, &mut terminate).await;
            asked.send_replace(true);
            either(&mut ctrl_c, &mut terminate).await;
            terminal::remark(&last_words);
            process::exit(1);
        });
        Ok(Self(interrupt))
    }

    /// Whether it has been asked.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked.
    pub(crate) async fn asked(&self) {
        let mut asked = self.0.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
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
    /// One that the test asks, by sending `true`.
    pub(crate) fn by_hand() -> (watch::Sender<bool>, Self) {
        let (asked, interrupt) = watch::channel(false);
        (asked, Self(interrupt))
    }
}
