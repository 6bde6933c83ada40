//! Bounds, marks, flushing and the end.

use std::sync::atomic::AtomicUsize;
use std::thread;

use super::super::stats::SinkKind;
use super::*;

const FOREVER: Duration = Duration::from_secs(60);
const AT_ONCE: Batching = Batching { lines_max: 3, bytes_max: 1 << 20, linger: Duration::ZERO };

fn queue(lines_max: usize, bytes_max: usize) -> Arc<Queue> {
    Queue::new(QueueBounds { lines_max, bytes_max }, SinkStats::new("test", SinkKind::Console))
}

fn line(text: &str) -> Line {
    Line::foreign(text.to_owned())
}

fn taken(queue: &Queue) -> Vec<String> {
    let mut into = VecDeque::new();
    queue.take(AT_ONCE, &mut into, None);
    into.into_iter()
        .map(|entry| match entry {
            Entry::Line(line) => line.local().to_owned(),
            Entry::Dropped(lines) => format!("{lines} dropped"),
        })
        .collect()
}

#[test]
fn lines_come_out_in_order_and_in_batches() {
    let queue = queue(10, 1 << 20);
    for text in ["a", "b", "c", "d"] {
        assert!(queue.push(line(text)));
    }
    assert_eq!(queue.stats().read().queued_lines, 4);
    assert_eq!(taken(&queue), ["a", "b", "c"]);
    assert_eq!(taken(&queue), ["d"]);
    assert_eq!((queue.stats().read().queued_lines, queue.stats().read().queued_bytes), (0, 0));
}

#[test]
fn a_full_queue_drops_counts_and_marks_the_place() {
    let queue = queue(2, 1 << 20);
    let pushed: Vec<_> = ["a", "b", "c", "d"].map(|text| queue.push(line(text))).into();
    assert_eq!(pushed, [true, true, false, false]);
    assert_eq!(taken(&queue), ["a", "b", "2 dropped"]);
    assert!(queue.push(line("e")));
    assert_eq!(taken(&queue), ["e"]);
    assert_eq!(queue.stats().read().dropped, 2);
}

#[test]
fn the_mark_stands_where_the_lines_are_missing() {
    let queue = queue(4, 1 << 20);
    for text in ["a", "b", "c", "d", "lost"] {
        queue.push(line(text));
    }
    assert_eq!(taken(&queue), ["a", "b", "c"]);
    queue.push(line("e"));
    assert_eq!(taken(&queue), ["d", "1 dropped", "e"]);
}

#[test]
fn bytes_are_bounded_too() {
    let size = line("1234567890").bytes();
    let queue = queue(100, size * 2);
    let pushed: Vec<_> = (0..3).map(|_| queue.push(line("1234567890"))).collect();
    assert_eq!(pushed, [true, true, false]);
    assert!(!queue.push(line(&"x".repeat(size * 3))), "longer than the whole queue");
}

#[test]
fn a_batch_holds_one_line_however_long() {
    let queue = queue(10, 1 << 20);
    queue.push(line(&"x".repeat(1000)));
    queue.push(line("y"));
    let mut into = VecDeque::new();
    queue.take(Batching { bytes_max: 10, ..AT_ONCE }, &mut into, None);
    assert_eq!(into.len(), 1);
}

#[test]
fn a_flush_waits_for_the_consumer_and_ends_in_time() {
    let queue = queue(10, 1 << 20);
    queue.push(line("a"));
    assert!(!queue.flush(Instant::now()));
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(taken(&queue), ["a"]);
            queue.done(1);
        });
        assert!(queue.flush(Instant::now() + FOREVER));
    });
    assert!(queue.flush(Instant::now()), "nothing is there");
}

#[test]
fn at_the_end_nothing_comes_in_and_what_is_left_is_counted() {
    let queue = queue(10, 1 << 20);
    queue.push(line("a"));
    let by = Instant::now() + FOREVER;
    queue.stop(by);
    assert!(!queue.push(line("late")));
    let mut into = VecDeque::new();
    assert_eq!(queue.take(AT_ONCE, &mut into, None).stop_by, Some(by));
    assert!(!queue.wait_for_end(Instant::now()));
    queue.end();
    assert!(queue.wait_for_end(Instant::now()));
    assert_eq!(queue.stats().read().dropped, 1);
}

#[test]
fn the_end_interrupts_the_wait_for_a_retry_once() {
    let queue = queue(10, 1 << 20);
    let mut rest = VecDeque::new();
    queue.stop(Instant::now());
    let turn = queue.take(AT_ONCE, &mut rest, Some(Instant::now() + FOREVER));
    assert!(turn.stop_by.is_some() && rest.is_empty());
    // The bound has passed: it returns again, without waiting for the retry.
    queue.take(AT_ONCE, &mut rest, Some(Instant::now() + FOREVER));
}

#[test]
fn reopening_is_told_once() {
    let queue = queue(10, 1 << 20);
    queue.reopen();
    queue.push(line("a"));
    let mut into = VecDeque::new();
    assert!(queue.take(AT_ONCE, &mut into, None).reopen);
    into.clear();
    queue.push(line("b"));
    assert!(!queue.take(AT_ONCE, &mut into, None).reopen);
}

#[test]
fn many_threads_lose_nothing_that_was_taken_in() {
    const EACH: usize = 2_000;
    let queue = queue(500, 1 << 20);
    let accepted = AtomicUsize::new(0);
    let (mut lines, mut dropped) = (0, 0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    if queue.push(line("x")) {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut into = VecDeque::new();
        while lines + dropped < 4 * EACH {
            queue.take(AT_ONCE, &mut into, None);
            for entry in into.drain(..) {
                match entry {
                    Entry::Line(_) => lines += 1,
                    Entry::Dropped(count) => dropped += count as usize,
                }
            }
        }
    });
    assert_eq!(lines, accepted.into_inner());
}
