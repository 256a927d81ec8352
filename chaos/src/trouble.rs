//! Why a trial could not be made at all: nothing that a fault may lead to.

/// A trial could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Something of it could not be set up.
    #[error("a trial could not be set up: {0}")]
    SettingUp(String),
    /// A push without faults did not do what it always does.
    #[error("a push without faults is not what it should be: {0}")]
    Baseline(String),
}

impl Trouble {
    /// Something could not be set up.
    pub fn setting_up(error: impl std::fmt::Display) -> Self {
        Self::SettingUp(error.to_string())
    }
}
