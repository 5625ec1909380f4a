//! Passwords: hashing, verification, and the checks of a new one.

use std::{collections::HashSet, sync::LazyLock};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::hashing;
use crate::{Error, Result, auth::user::User, error::Invalid, random};

/// The longest password, in characters: hashing a longer one would be a denial of service. Django has 4,096 since
/// CVE-2013-1443.
pub(crate) const PASSWORD_CHARACTERS: usize = 4096;

/// The prefix of Django's own hashes, which names their algorithm.
const DJANGO: &str = "pbkdf2_sha256$";

/// The hash of an account without a password, as Django has it: no password matches.
pub(crate) const UNUSABLE: &str = "!";

/// Whether a password matches, and whether its stored hash is of an older kind that should be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It matches.
    Right,
    /// It matches, and the hash should be replaced.
    RightAndOutdated,
    /// It does not match.
    Wrong,
}

/// Hashes a password on a blocking thread, a few at a time.
///
/// # Errors
/// When the thread or the hashing fails.
pub async fn hash(password: String) -> Result<String> {
    hashing::run(move |memory| hash_now(&password, memory)).await?
}

/// Argon2id with OWASP's minimum: 19 MiB, two passes, one lane, which is what the crate's defaults are
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>).
fn hash_now(password: &str, memory: &mut Vec<Block>) -> Result<String> {
    let failed = |error: argon2::password_hash::phc::Error| Error::internal(error.to_string());
    let salt = random::bytes::<{ Salt::RECOMMENDED_LENGTH }>()?;
    let (algorithm, version, params) = (Algorithm::default(), Version::default(), Params::DEFAULT);
    let hash = argon2(algorithm, version, params.clone(), password, &salt, Params::DEFAULT_OUTPUT_LEN, memory)?;
    let hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(&params).map_err(|error| Error::internal(error.to_string()))?,
        salt: Some(Salt::new(&salt).map_err(failed)?),
        hash: Some(hash),
    };
    Ok(hash.to_string())
}

/// Hashes in memory that may have been used before; the hash does not depend on its content.
fn argon2(
    algorithm: Algorithm,
    version: Version,
    params: Params,
    password: &str,
    salt: &[u8],
    length: usize,
    memory: &mut Vec<Block>,
) -> Result<Output> {
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::new());
    }
    let mut hash = vec![0; length];
    let argon2 = Argon2::new(algorithm, version, params);
    let hashed = argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, memory);
    hashed.map_err(|error| Error::internal(error.to_string()))?;
    Output::new(&hash).map_err(|error| Error::internal(error.to_string()))
}

/// Verifies a password against a stored hash, on a blocking thread, a few at a time. Without a hash (there is no such
/// user), or with an unusable one, it takes as long.
///
/// # Errors
/// When the thread fails.
pub async fn verify(password: String, stored: Option<String>) -> Result<Verdict> {
    hashing::run(move |memory| match stored {
        Some(stored) if is_verifiable(&stored) => verify_now(&password, &stored, memory),
        _ => {
            let _ = hash_now(&password, memory);
            Verdict::Wrong
        }
    })
    .await
}

/// Whether a stored hash is of a kind that can be verified.
pub(crate) fn is_verifiable(stored: &str) -> bool {
    stored.starts_with(DJANGO) || PasswordHash::new(stored).is_ok()
}

fn verify_now(password: &str, stored: &str, memory: &mut Vec<Block>) -> Verdict {
    if let Some(parts) = stored.strip_prefix(DJANGO) {
        return if verify_django(password, parts).unwrap_or(false) {
            Verdict::RightAndOutdated
        } else {
            Verdict::Wrong
        };
    }
    match PasswordHash::new(stored) {
        Ok(hash) if verify_argon2(password, &hash, memory).unwrap_or(false) => Verdict::Right,
        _ => Verdict::Wrong,
    }
}

/// A hash of any variant of Argon2, with its own parameters.
fn verify_argon2(password: &str, stored: &PasswordHash, memory: &mut Vec<Block>) -> Option<bool> {
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = stored.version.map_or(Some(Version::default()), |version| Version::try_from(version).ok())?;
    let (params, salt, expected) = (Params::try_from(stored).ok()?, stored.salt?, stored.hash?);
    let hash = argon2(algorithm, version, params, password, &salt, expected.len(), memory).ok()?;
    // `Output` is compared in constant time.
    Some(hash == expected)
}

/// Django's own hashes, `pbkdf2_sha256$<iterations>$<salt>$<base64>`, less the algorithm.
fn verify_django(password: &str, parts: &str) -> Option<bool> {
    let mut parts = parts.split('$');
    let (rounds, salt, expected) = (parts.next()?.parse().ok()?, parts.next()?, STANDARD.decode(parts.next()?).ok()?);
    let mut hash = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt.as_bytes(), rounds, &mut hash);
    Some(hash[..].ct_eq(&expected).into())
}

/// The thousand most common passwords, as Django 2.0 lists them (Mark Burnett's public list).
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// Checks a new password.
///
/// # Errors
/// [`Error::Invalid`] with the problems of `field`.
pub(super) fn require_strong(field: &'static str, password: &str, user: &User) -> Result<()> {
    let about = [
        ("username", user.username.as_str()),
        ("first name", &user.first_name),
        ("last name", &user.last_name),
        ("email address", &user.email),
    ];
    let mut invalid = Invalid::default();
    for problem in weaknesses(password, &about) {
        invalid.add(field, problem);
    }
    invalid.unless_empty(())
}

/// The problems of a new password, in the texts and order of Django's default validators. `about` is what the password
/// must not resemble: pairs of a name and a value.
fn weaknesses(password: &str, about: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some((name, _)) = about.iter().find(|(_, value)| resembles(password, value)) {
        problems.push(format!("The password is too similar to the {name}."));
    }
    if password.chars().count() < 8 {
        problems.push("This password is too short. It must contain at least 8 characters.".to_owned());
    }
    if COMMON.contains(password.to_lowercase().as_str()) {
        problems.push("This password is too common.".to_owned());
    }
    if password.chars().all(char::is_numeric) {
        problems.push("This password is entirely numeric.".to_owned());
    }
    problems
}

/// Django's measure: the password against the value and each word in it, letters counted regardless of their order,
/// alike from 0.7 on.
fn resembles(password: &str, value: &str) -> bool {
    let words = value.split(|c: char| !c.is_alphanumeric() && c != '_');
    let password: Vec<char> = password.to_lowercase().chars().collect();
    words.chain([value]).filter(|word| !word.is_empty()).any(|word| {
        let mut word: Vec<char> = word.to_lowercase().chars().collect();
        let letters = password.len() + word.len();
        let shared = password.iter().filter(|c| {
            let place = word.iter().position(|d| d == *c);
            place.map(|place| word.swap_remove(place)).is_some()
        });
        // 2 × shared ÷ letters ≥ 0.7, in whole numbers.
        20 * shared.count() >= 7 * letters
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn argon2id_with_owasps_parameters() {
        let stored = hash("Str0ng-pass-phrase".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(verify("Str0ng-pass-phrase".to_owned(), Some(stored.clone())).await.unwrap(), Verdict::Right);
        assert_eq!(verify("str0ng-pass-phrase".to_owned(), Some(stored)).await.unwrap(), Verdict::Wrong);
        assert_eq!(verify("anything".to_owned(), None).await.unwrap(), Verdict::Wrong);
    }

    /// The foreign ones are by the reference implementation: `argon2 somesalt -id -t 2 -m 16 -p 4 -l 24`, and `-i -m 10
    /// -p 2 -l 32`.
    #[test]
    fn hashes_with_other_parameters_in_memory_that_was_used_before() {
        let mut memory = Vec::new();
        let own = hash_now("password", &mut memory).unwrap();
        let foreign = "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$F1jG2CV3/Nr+yRuIsPKw0J9r4s7cJHBU";
        let small = "$argon2i$v=19$m=1024,t=2,p=2$c29tZXNhbHQ$L5PmjAVnzK105vF+MVHkys50egOLjT2ezk1HL3KqpE0";
        for stored in [foreign, &own, small, foreign, small, &own] {
            assert_eq!(verify_now("password", stored, &mut memory), Verdict::Right, "{stored}");
            assert_eq!(verify_now("Password", stored, &mut memory), Verdict::Wrong, "{stored}");
        }
        assert_eq!(verify_now("password", "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ", &mut memory), Verdict::Wrong);
    }

    /// The hash was made by Python's `hashlib.pbkdf2_hmac`, in the format of Django 2.0.
    #[test]
    fn djangos_hashes_are_verified_and_outdated() {
        let stored = "pbkdf2_sha256$1000$seasalt$t6YEyShVVLkDJCkNhig3SsDh2KPbGk4S+XvJ25jMkb0=";
        assert_eq!(verify_now("mypassword", stored, &mut Vec::new()), Verdict::RightAndOutdated);
        assert_eq!(verify_now("mypassworD", stored, &mut Vec::new()), Verdict::Wrong);
        for broken in ["pbkdf2_sha256$", "pbkdf2_sha256$x$y$z", "pbkdf2_sha256$1$salt$%", "", "!", "md5$a$b"] {
            assert_eq!(verify_now("mypassword", broken, &mut Vec::new()), Verdict::Wrong, "{broken}");
        }
    }

    #[test]
    fn weak_passwords_are_named_for_what_they_are() {
        let about = [("username", "chatterbox"), ("email address", "longmailbox@example.com")];
        assert_eq!(weaknesses("chatterbox1", &about), ["The password is too similar to the username."]);
        assert_eq!(weaknesses("longmailbox", &about), ["The password is too similar to the email address."]);
        assert_eq!(weaknesses("PassWord1", &about), ["This password is too common."]);
        assert_eq!(weaknesses("84", &[]).len(), 2);
        assert!(weaknesses("пароль-längere", &about).is_empty());
    }
}
