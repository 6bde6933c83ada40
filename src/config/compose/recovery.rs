//! The limits that a new cluster commits: how long sessions can be resumed and how much is kept for them.

use vedfolnir_cluster::ReplicatedLimits;

use crate::config::schema::performance::{HISTORY_AGE, HISTORY_SIZE, RECOVERY_WINDOW};
use crate::config::values::Values;

pub(super) fn compose(values: &Values<'_>) -> ReplicatedLimits {
    let recovery_window = values.get(&RECOVERY_WINDOW);
    let history_age_max = match values.given(&HISTORY_AGE) {
        Some(age) => {
            if age < recovery_window {
                values.refuse(
                    &HISTORY_AGE,
                    format!("shorter than the recovery window ({recovery_window:?}): a session could not be resumed"),
                    "at least the recovery window",
                );
            }
            age
        }
        None => ReplicatedLimits::default().history_age_max.max(recovery_window + recovery_window / 2),
    };
    ReplicatedLimits { recovery_window, history_age_max, history_bytes_max: values.get(&HISTORY_SIZE) }
}
