//! Rows over one axis of time, as SVG: bars, lines, dots.

use std::fmt::Write;

use super::html::escaped;
use crate::clock::{Nanos, SECOND};

/// Of the whole drawing, in pixels.
const WIDTH: f64 = 1_000.0;
/// Where time begins; names stand before it.
const LEFT: f64 = 120.0;
const BAR_HEIGHT: f64 = 16.0;
const LINE_HEIGHT: f64 = 60.0;
const GAP: f64 = 10.0;
/// Ticks of the axis, at most.
const TICKS_MAX: u64 = 10;

pub(super) struct Chart {
    began: Nanos,
    span: f64,
    body: String,
    /// Where the next row begins.
    y: f64,
    row: f64,
}

impl Chart {
    pub(super) fn new(began: Nanos, ended: Nanos) -> Self {
        let span = ended.saturating_sub(began).max(1) as f64;
        Self { began, span, body: String::new(), y: GAP, row: 0.0 }
    }

    fn x(&self, at: Nanos) -> f64 {
        LEFT + (WIDTH - LEFT) * (at.saturating_sub(self.began) as f64 / self.span).min(1.0)
    }

    fn begin(&mut self, name: &str, height: f64) {
        self.row = self.y;
        self.y += height + GAP;
        let (x, y) = (LEFT - 8.0, self.row + height / 2.0 + 4.0);
        let _ = writeln!(self.body, "<text x=\"{x}\" y=\"{y:.1}\" class=\"name\">{}</text>", escaped(name));
    }

    /// A row of bars.
    pub(super) fn row(&mut self, name: &str) {
        self.begin(name, BAR_HEIGHT);
    }

    /// Something that lasted, in the present row; at least wide enough to be seen.
    pub(super) fn bar(&mut self, class: &str, from: Nanos, to: Nanos, what: &str) {
        let (from, to) = (self.x(from), self.x(to));
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\"><title>{}</title></rect>",
            self.row,
            (to - from).max(2.0),
            escaped(what)
        );
    }

    fn scale(&mut self, name: &str, unit: &str, most: f64) -> impl Fn(f64) -> f64 + use<> {
        self.begin(name, LINE_HEIGHT);
        let (top, bottom) = (self.row, self.row + LINE_HEIGHT);
        let _ = writeln!(
            self.body,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text class=\"scale\" x=\"{}\" y=\"{:.1}\">{most:.0}{unit}</text>",
            LEFT + 4.0,
            top + 10.0
        );
        move |value: f64| bottom - LINE_HEIGHT * (value / most.max(f64::MIN_POSITIVE)).min(1.0)
    }

    /// A figure over time.
    pub(super) fn line(&mut self, name: &str, unit: &str, points: &[(Nanos, f64)]) {
        let most = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let y = self.scale(name, unit, most);
        let path: Vec<String> =
            points.iter().map(|(at, value)| format!("{:.1},{:.1}", self.x(*at), y(*value))).collect();
        let _ = writeln!(self.body, "<polyline points=\"{}\"/>", path.join(" "));
    }

    /// Single events with a figure each; those that went wrong stand out.
    pub(super) fn dots(&mut self, name: &str, unit: &str, points: &[(Nanos, f64, bool)]) {
        let most = points.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
        let y = self.scale(name, unit, most);
        for (at, value, is_good) in points {
            let class = if *is_good { "good" } else { "bad" };
            let (x, y) = (self.x(*at), y(*value));
            let _ = writeln!(self.body, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>");
        }
    }

    /// The whole drawing with its axis.
    pub(super) fn finish(mut self) -> String {
        let seconds = self.span as Nanos / SECOND;
        let step = seconds.div_ceil(TICKS_MAX).max(1);
        let bottom = self.y;
        for tick in (0..=seconds).step_by(step as usize) {
            let x = self.x(self.began + tick * SECOND);
            let _ = writeln!(
                self.body,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{bottom}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{tick} s</text>",
                bottom + 12.0
            );
        }
        format!(
            "<svg viewBox=\"0 0 {} {:.0}\" role=\"img\" aria-label=\"time line of the run\">\n{}</svg>\n",
            WIDTH + 20.0,
            bottom + 20.0,
            self.body
        )
    }
}
