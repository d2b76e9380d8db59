//! The kinds of users there are.

use std::iter;

use fastrand::Rng;

use super::Setting;

/// What keys a user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keys {
    /// None at all.
    None,
    /// One that is well below the threshold.
    Fresh,
    /// One that is an hour short of the threshold's last day.
    JustFresh,
    /// Two below the threshold.
    TwoFresh,
    /// An old one that was switched off.
    OldInactive,
    /// An old one that was switched off, beside its fresh successor.
    OldInactiveAndFresh,
    /// One above the threshold.
    Stale,
    /// One that has just crossed the threshold.
    JustStale,
    /// One above the threshold that was never used.
    StaleNeverUsed,
    /// One above the threshold that IAM's console has a description for.
    StaleDescribed,
    /// Two above the threshold.
    TwoStale,
    /// One above the threshold, beside its fresh successor.
    StaleAndFresh,
    /// One above the threshold, beside an older one that was switched off.
    StaleAndOldInactive,
}

/// How a user's owner can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// By the contact tag, which many may share.
    Tag,
    /// By the contact tag, which is an address of the user's own.
    OwnTag,
    /// By the user name, which is an address.
    Name,
    /// By the contact tag, although the user name is another address.
    TagBeforeName,
    /// By the user name at the default domain.
    DefaultDomain,
    /// By the user name, since the contact tag names a foreign address.
    NameAfterForeignTag,
    /// By the user name at the default domain, since the contact tag names a foreign address.
    DefaultDomainAfterForeignTag,
    /// By the user name at the default domain, since the contact tag holds no address.
    DefaultDomainAfterBadTag,
    /// Not at all: the user name is a foreign address.
    ForeignName,
    /// Not at all: user name and contact tag are foreign addresses.
    ForeignNameAndTag,
    /// Not at all: the user name has characters that no address has.
    Unmailable,
}

/// Whether a user is exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exemption {
    /// It never was.
    None,
    /// It still is.
    Current,
    /// It was until a while ago.
    Expired,
    /// Its tag says so, for ever. It is not.
    ForEver,
}

/// What a user is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Profile {
    /// Its keys.
    pub keys: Keys,
    /// Its owner's address.
    pub contact: Contact,
    /// Its exemption.
    pub exemption: Exemption,
    /// Whether it ever signed in to the console.
    pub signed_in: bool,
    /// Whether its path begins with the path prefix.
    pub inside_path: bool,
    /// Whether it was made too late for a stale key.
    pub young: bool,
}

impl Keys {
    const ALL: [Self; 13] = [
        Self::None,
        Self::Fresh,
        Self::JustFresh,
        Self::TwoFresh,
        Self::OldInactive,
        Self::OldInactiveAndFresh,
        Self::Stale,
        Self::JustStale,
        Self::StaleNeverUsed,
        Self::StaleDescribed,
        Self::TwoStale,
        Self::StaleAndFresh,
        Self::StaleAndOldInactive,
    ];

    /// The stale ones, by position; see `user::Maker`, which makes them in this order.
    pub(super) fn stale(self) -> &'static [usize] {
        match self {
            Self::None
            | Self::Fresh
            | Self::JustFresh
            | Self::TwoFresh
            | Self::OldInactive
            | Self::OldInactiveAndFresh => &[],
            Self::Stale
            | Self::JustStale
            | Self::StaleNeverUsed
            | Self::StaleDescribed
            | Self::StaleAndFresh
            | Self::StaleAndOldInactive => &[0],
            Self::TwoStale => &[0, 1],
        }
    }
}

impl Contact {
    const ALL: [Self; 11] = [
        Self::Tag,
        Self::OwnTag,
        Self::Name,
        Self::TagBeforeName,
        Self::DefaultDomain,
        Self::NameAfterForeignTag,
        Self::DefaultDomainAfterForeignTag,
        Self::DefaultDomainAfterBadTag,
        Self::ForeignName,
        Self::ForeignNameAndTag,
        Self::Unmailable,
    ];
}

impl Profile {
    /// In the audience, old enough, reached at the default domain, not exempt.
    #[must_use]
    pub const fn with(keys: Keys) -> Self {
        Self {
            keys,
            contact: Contact::DefaultDomain,
            exemption: Exemption::None,
            signed_in: true,
            inside_path: true,
            young: false,
        }
    }

    pub(super) const fn reached_by(self, contact: Contact) -> Self {
        Self { contact, ..self }
    }

    const fn exempt(self, exemption: Exemption) -> Self {
        Self { exemption, ..self }
    }

    const fn never_signed_in(self) -> Self {
        Self { signed_in: false, ..self }
    }

    const fn outside_path(self) -> Self {
        Self { inside_path: false, ..self }
    }

    /// Its keys must be none, or fresh.
    const fn young(self) -> Self {
        Self { young: true, ..self }
    }

    /// Whether all of its keys may have one age, at which each is stale that is active.
    pub(super) fn is_of_one_age(self) -> bool {
        let is_fresh = match self.keys {
            Keys::None
            | Keys::OldInactive
            | Keys::Stale
            | Keys::JustStale
            | Keys::StaleNeverUsed
            | Keys::StaleDescribed
            | Keys::TwoStale
            | Keys::StaleAndOldInactive => false,
            Keys::Fresh
            | Keys::JustFresh
            | Keys::TwoFresh
            | Keys::OldInactiveAndFresh
            | Keys::StaleAndFresh => true,
        };
        !is_fresh && !self.young
    }

    /// One profile for each kind of keys, of contact, of exemption, and of being left out.
    pub(super) fn every_kind() -> Vec<Self> {
        let stale = Self::with(Keys::Stale);
        let pair = Self::with(Keys::TwoStale);
        let keys = Keys::ALL.map(Self::with);
        let contacts = Contact::ALL.map(|contact| stale.reached_by(contact));
        let others = [
            pair.reached_by(Contact::Tag),
            stale.exempt(Exemption::Current),
            pair.exempt(Exemption::Current),
            stale.exempt(Exemption::Expired),
            stale.exempt(Exemption::ForEver),
            stale.never_signed_in(),
            Self::with(Keys::Fresh).never_signed_in(),
            stale.outside_path(),
            Self::with(Keys::None).young(),
            Self::with(Keys::Fresh).young(),
            Self::with(Keys::JustFresh).young(),
            Self::with(Keys::TwoFresh).young(),
        ];
        keys.into_iter().chain(contacts).chain(others).collect()
    }
}

/// A profile, and how many of a hundred users it makes.
pub(super) struct Share(usize, Profile);

/// `count` profiles, as close to their shares as so many can be, in no order.
pub(super) fn in_shares(shares: &[Share], count: usize, rng: &mut Rng) -> Vec<Profile> {
    let repeated = shares.iter().flat_map(|&Share(times, profile)| iter::repeat_n(profile, times));
    let mut a_hundred: Vec<Profile> = repeated.collect();
    rng.shuffle(&mut a_hundred);
    a_hundred.into_iter().cycle().take(count).collect()
}

/// The owners of stale keys in a typical account.
pub(super) const STALE: [Share; 14] = [
    Share(10, Profile::with(Keys::Stale)),
    Share(1, Profile::with(Keys::Stale).exempt(Exemption::Current)),
    Share(14, Profile::with(Keys::StaleAndFresh).reached_by(Contact::Tag)),
    Share(2, Profile::with(Keys::Stale).reached_by(Contact::ForeignName)),
    Share(12, Profile::with(Keys::TwoStale)),
    Share(10, Profile::with(Keys::StaleDescribed).reached_by(Contact::Tag)),
    Share(1, Profile::with(Keys::TwoStale).exempt(Exemption::Current)),
    Share(16, Profile::with(Keys::StaleNeverUsed)),
    Share(9, Profile::with(Keys::StaleAndOldInactive).reached_by(Contact::Name)),
    Share(1, Profile::with(Keys::Stale).reached_by(Contact::Unmailable)),
    Share(4, Profile::with(Keys::Stale).reached_by(Contact::DefaultDomainAfterForeignTag)),
    Share(1, Profile::with(Keys::Stale).exempt(Exemption::Expired)),
    Share(1, Profile::with(Keys::Stale).exempt(Exemption::ForEver)),
    Share(18, Profile::with(Keys::Stale).reached_by(Contact::Tag)),
];

/// All the others, of whom nobody is mailed. Where everybody is checked, an old key of somebody who never signed in would
/// be one stale key too many.
pub(super) fn quiet(setting: &Setting) -> Vec<Share> {
    let mut quiet = vec![
        Share(41, Profile::with(Keys::Fresh)),
        Share(4, Profile::with(Keys::Fresh).young()),
        Share(9, Profile::with(Keys::TwoFresh).reached_by(Contact::Tag)),
        Share(6, Profile::with(Keys::None)),
        Share(4, Profile::with(Keys::None).young()),
        Share(6, Profile::with(Keys::OldInactive)),
        Share(8, Profile::with(Keys::OldInactiveAndFresh).reached_by(Contact::Name)),
        Share(2, Profile::with(Keys::JustFresh)),
        Share(12, Profile::with(Keys::Fresh).never_signed_in()),
    ];
    if !setting.everybody {
        quiet.push(Share(8, Profile::with(Keys::Stale).never_signed_in()));
    }
    quiet
}
