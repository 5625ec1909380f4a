//! Exchanging a token of another system for one of Confab's. The first time makes the account; later ones update it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{email, membership_count, password, registration::NAME_CHARACTERS};
use crate::{
    Confab, Error, Result,
    auth::{
        client_info::ClientInfo,
        token::Token,
        user::{Profile, User},
        username::Username,
    },
    aws::table::Write,
    date::Date,
    id_sequence::IdSequence,
    identity::Claims,
    ids::UserId,
    input::{fields::Fields, text::Text},
    key::{Key, Partition},
    random,
};

/// The username of a user of whom the issuer says nothing that could be one.
const NAMELESS: &str = "user";
/// Usernames that are tried before the request fails. The last has 64 random bits.
const NAMES_TRIED: usize = 6;
/// Attempts to find or to make an account. A second one finds what a concurrent request has made.
const TRIES: usize = 3;

/// The item that leads from an identity to its user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownIdentity {
    user_id: UserId,
}

impl KnownIdentity {
    pub(crate) fn key(identity: &str) -> Key {
        Partition::Identity.key(identity, "IDENTITY")
    }
}

impl Confab {
    /// Logs a user in whom another system has authenticated, and who calls from `source`.
    ///
    /// # Errors
    /// [`Error::NotConfigured`] without issuers; [`Error::Invalid`]; [`Error::BadCredentials`]; [`Error::Throttled`];
    /// [`Error::Busy`] if the issuer's keys cannot be fetched.
    pub async fn exchange_token(&self, fields: &Fields, source: Option<IpAddr>, client: ClientInfo) -> Result<Token> {
        if self.issuers().is_empty() {
            return Err(Error::NotConfigured("This deployment does not accept tokens of other systems."));
        }
        let token = Text::required("token").strict().require(fields)?;
        let attempt = self.throttle_exchange(source).await?;
        let claims = self.issuers().verify(&token).await?;
        let profile = self.identified(&claims).await?;
        if !profile.is_active {
            return Err(Error::inactive_user());
        }
        let token = self.issue_token(&profile, client, claims.ends_at).await?;
        self.refund(attempt).await?;
        Ok(token)
    }

    /// The account of an identity, as the claims have it.
    async fn identified(&self, claims: &Claims) -> Result<Profile> {
        for _ in 0..TRIES {
            let known: Option<KnownIdentity> = self.table().get(KnownIdentity::key(&claims.identity)).await?;
            let ended = match known {
                Some(KnownIdentity { user_id }) => self.updated(user_id, claims).await,
                None => self.created(claims).await,
            };
            match ended {
                // A concurrent request has made the account.
                Err(Error::Changed) => {}
                ended => return ended,
            }
        }
        Err(Error::Busy(None))
    }

    async fn updated(&self, user_id: UserId, claims: &Claims) -> Result<Profile> {
        let profile: Profile = self.table().get(Profile::key(user_id)).await?.ok_or_else(Error::inactive_user)?;
        let user = with_claims(profile.user.clone(), claims);
        if user != profile.user && profile.is_active {
            self.save_profile(&profile.user, &user).await?;
        }
        Ok(Profile { user, ..profile })
    }

    async fn created(&self, claims: &Claims) -> Result<Profile> {
        let id = UserId(self.next_id(IdSequence::User).await?);
        let nothing = String::new;
        let user = User { id, username: nothing(), email: nothing(), first_name: nothing(), last_name: nothing() };
        let mut profile = Profile {
            user: with_claims(user, claims),
            password_hash: password::UNUSABLE.to_owned(),
            epoch: 0,
            is_active: true,
            awaits_activation: false,
            is_listed: true,
            create_date: Date::now(),
            identity: Some(claims.identity.clone()),
        };
        for attempt in 0..NAMES_TRIED {
            profile.user.username = candidate(claims, attempt)?;
            if self.is_username_taken(&profile.user.username).await? {
                continue;
            }
            match self.table().transact(creation(&profile, claims)?).await {
                // Somebody has just registered with that name.
                Err(Error::AlreadyDone) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(profile),
            }
        }
        Err(Error::Busy(None))
    }
}

/// The writes that make an account and lead to it from its identity. They fail with [`Error::Changed`] if there is one
/// for that identity, and else with [`Error::AlreadyDone`] if the username is taken.
fn creation(profile: &Profile, claims: &Claims) -> Result<Vec<Write>> {
    let known = KnownIdentity { user_id: profile.user.id };
    let identity = Write::put(KnownIdentity::key(&claims.identity), &known)?.if_absent();
    let mut writes = vec![identity.otherwise(|_| Error::Changed)];
    writes.extend(profile.create(|| Error::AlreadyDone)?);
    writes.push(membership_count::none(profile.user.id)?);
    Ok(writes)
}

/// A username for a new account. After the first, they end in more and more random digits.
fn candidate(claims: &Claims, attempt: usize) -> Result<String> {
    let local = |text: &str| text.split('@').next().map(str::to_owned);
    // An e-mail address is no username: other users see usernames.
    let texts = [claims.text("preferred_username"), claims.text("nickname"), claims.email()];
    let mut names = texts.into_iter().flatten().filter_map(local).filter_map(|text| Username::nearest(&text));
    let name = names.next().unwrap_or_else(|| NAMELESS.to_owned());
    Ok(match attempt {
        0 => name,
        1..3 => format!("{name}-{}", random::hex::<1>()?),
        3..5 => format!("{name}-{}", random::hex::<2>()?),
        _ => format!("{name}-{}", random::hex::<8>()?),
    })
}

/// A user with the names and the address that the claims have. What they do not have stays, and so does what is not
/// valid there.
fn with_claims(mut user: User, claims: &Claims) -> User {
    let (given, family) = (claims.text("given_name"), claims.text("family_name"));
    let whole = claims.text("name").filter(|_| given.is_none() && family.is_none());
    if let Some(name) = given.or(whole) {
        user.first_name = printable(name);
    }
    if let Some(name) = family {
        user.last_name = printable(name);
    }
    if let Some(email) = claims.email().and_then(email::valid) {
        user.email = email;
    }
    user
}

fn printable(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARACTERS).collect();
    name.trim().to_owned()
}
