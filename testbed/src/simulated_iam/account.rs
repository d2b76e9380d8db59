//! What there is to an account beside its users.

use super::TokenBucket;
use crate::aws::Account;

/// What is special about an account; by default nothing, and nobody gets in.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The role that lets another account in.
    pub role: Option<Role>,
    /// How many calls it may make; `None` for as many as any account.
    pub limit: Option<TokenBucket>,
    /// What its administrators call it.
    pub alias: Option<String>,
}

/// A role for another account.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What whoever assumes it has to know.
    pub external_id: Option<String>,
    /// The account that may assume it.
    pub trusts: Account,
}
