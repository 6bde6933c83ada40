//! Reads the node's counters at intervals and tells what has changed.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::book::{Book, Word};
use super::message::{Message, Speaker};
use super::post::Receiver;
use super::window::{Reading, Window};
use super::{AlertConfig, AlertStats, Condition, sender};
use crate::observability::logging::unix_ms;
use crate::observability::{Node, connection_errors, message_errors, resident_bytes};

/// Watches until `stop`.
pub(crate) async fn run(node: Arc<Node>, config: AlertConfig, stop: CancellationToken) {
    let (queue, messages) = mpsc::channel(sender::MESSAGES_MAX);
    let stats = Arc::clone(node.alerts());
    tokio::spawn(sender::run(Receiver::new(&config), Arc::clone(&stats), messages, stop.clone()));
    let (mut window, mut book) = (Window::new(config.window), Book::new(config.repeat));
    let mut interval = tokio::time::interval(window.step());
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        let Some(parts) = node.parts() else { continue };
        let (service, security) = (parts.service.stats(), parts.service.security_counters());
        let distributions = &service.distributions;
        let answers = distributions.http_answers.buckets().zip(distributions.acks.buckets());
        let reading = Reading {
            connection_errors: connection_errors(service, security),
            message_errors: message_errors(service),
            answers: answers.map(|((bound, http), (_, acks))| (bound, http + acks)).collect(),
            resident_bytes: resident_bytes(),
        };
        let (now, now_ms) = (Instant::now(), unix_ms(SystemTime::now()));
        window.push(now, reading);
        let thresholds = node.thresholds();
        for condition in Condition::ALL {
            let value = window.value(condition);
            let word = book.judge(condition, value, thresholds.get(condition), now, now_ms);
            stats.set_firing(condition, book.is_firing(condition));
            let Some(word) = word else { continue };
            say(&word);
            let speaker = Speaker {
                server_id: node.server_id(),
                node: &format!("{:016x}", parts.cluster.identity().node_id),
                window_seconds: config.window.as_secs(),
            };
            if queue.try_send(Message::of_node(&word, &speaker, now_ms)).is_err() {
                AlertStats::one(&stats.dropped_total);
                let alert = word.condition.as_str();
                tracing::error!(
                    event_type = "alert_not_delivered",
                    alert,
                    "too many messages wait for the alerts' receiver"
                );
            }
        }
    }
}

fn say(word: &Word) {
    let (alert, value, threshold) = (word.condition.as_str(), word.value, word.threshold);
    if word.firing {
        tracing::warn!(event_type = "alert_firing", alert, value, threshold, "an alert's threshold is passed");
    } else {
        tracing::info!(
            event_type = "alert_resolved",
            alert,
            value,
            threshold,
            "an alert's threshold is passed no more"
        );
    }
}
