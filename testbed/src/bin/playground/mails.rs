//! The mails that SES took.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use keynudge_testbed::outbox::{self, Mail};

use crate::options::Mails;
use crate::place::Running;
use crate::{say, tell};

/// Lists them, and writes them where asked to.
pub(crate) async fn run(options: &Mails, playground: &Running) -> Result<()> {
    let mails = outbox::mails(&playground.aws()?).await?;
    for mail in &mails {
        tell(&format!("{}  {}", mail.to.join(", "), mail.subject));
    }
    say(&format!("{} mails", mails.len()));
    if let Some(folder) = &options.save {
        save(&mails, folder)?;
        say(&format!("They are in {}, in the order in which they were sent.", folder.display()));
    }
    Ok(())
}

fn save(mails: &[Mail], folder: &Path) -> Result<()> {
    let write = |name: String, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for (number, mail) in (1..).zip(mails) {
        write(format!("{number:04}.txt"), &mail.text)?;
        if let Some(html) = &mail.html {
            write(format!("{number:04}.html"), html)?;
        }
    }
    Ok(())
}
