//! The distribution of keys' ages: counted, and laid out as bars for a page's SVG.

use serde::Serialize;

/// The drawing's size and margins, in SVG's units.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 948.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 266.0;

/// One bar is as many days, and the last one is all that are older.
const DAYS_PER_BAR: u32 = 10;
const BARS: usize = 39;
const BARS_PER_TICK: usize = 3;
const GAP: f64 = 2.0;

/// Horizontal lines to read the height by.
const LINES: u32 = 4;

/// The chart, ready to be drawn.
#[derive(Serialize)]
pub struct AgeChart {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    bottom: f64,
    bar_width: f64,
    bars: Vec<Bar>,
    lines: Vec<Line>,
    ticks: Vec<Tick>,
    threshold_days: u32,
    threshold_x: f64,
}

#[derive(Serialize)]
struct Bar {
    x: f64,
    title: String,
    parts: Vec<Part>,
}

/// A piece of a bar; `kind` is its class in the page's style.
#[derive(Serialize)]
struct Part {
    kind: &'static str,
    y: f64,
    height: f64,
}

#[derive(Serialize)]
struct Line {
    y: f64,
    label: u32,
}

#[derive(Serialize)]
struct Tick {
    x: f64,
    label: String,
}

/// What a key's age means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Active, and young enough.
    Fresh,
    /// Active, and old enough to be told about.
    Stale,
    /// Turned off.
    Inactive,
}

/// How many keys there are of each age; as large for a hundred thousand keys as for none.
#[derive(Debug, Clone)]
pub struct AgeCounts([Count; BARS + 1]);

/// The keys of one bar.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    fresh: u32,
    stale: u32,
    inactive: u32,
}

impl Count {
    fn total(self) -> u32 {
        self.fresh + self.stale + self.inactive
    }
}

impl Default for AgeCounts {
    fn default() -> Self {
        Self([Count::default(); BARS + 1])
    }
}

impl AgeCounts {
    /// Counts a key of so many days.
    pub fn add(&mut self, age_days: u32, state: KeyState) {
        let bar = usize::try_from(age_days / DAYS_PER_BAR).unwrap_or(BARS).min(BARS);
        let count = &mut self.0[bar];
        match state {
            KeyState::Fresh => count.fresh += 1,
            KeyState::Stale => count.stale += 1,
            KeyState::Inactive => count.inactive += 1,
        }
    }
}

impl AgeChart {
    /// The chart of `counts`, with a mark at the age from which active keys are stale.
    #[must_use]
    pub fn new(AgeCounts(counts): &AgeCounts, threshold_days: u32) -> Self {
        let step = step(counts.iter().map(|count| count.total()).max().unwrap_or_default());
        let top = step * LINES;
        Self {
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: RIGHT,
            bottom: BOTTOM,
            bar_width: bar_width() - GAP,
            bars: counts.iter().enumerate().map(|(at, count)| bar(at, *count, top)).collect(),
            lines: (0..=LINES).map(|line| Line { y: y(line * step, top), label: line * step }).collect(),
            ticks: ticks(),
            threshold_days,
            threshold_x: x_of_days(threshold_days),
        }
    }
}

/// A bar's parts stand on one another: what matters most at the bottom.
fn bar(at: usize, count: Count, top: u32) -> Bar {
    let mut base = 0;
    let kinds = [("stale", count.stale), ("fresh", count.fresh), ("inactive", count.inactive)];
    let parts = kinds.into_iter().filter(|(_, keys)| *keys > 0).map(|(kind, keys)| {
        base += keys;
        let y_top = y(base, top);
        Part { kind, y: y_top, height: y(base - keys, top) - y_top }
    });
    let parts = parts.collect();
    Bar { x: x(at) + GAP / 2.0, title: format!("{}: {} keys", days(at), count.total()), parts }
}

fn days(bar: usize) -> String {
    let from = days_before(bar);
    if bar == BARS {
        format!("{from} days and more")
    } else {
        format!("{from} to {} days", from + DAYS_PER_BAR - 1)
    }
}

fn days_before(bar: usize) -> u32 {
    u32::try_from(bar).unwrap_or_default() * DAYS_PER_BAR
}

fn ticks() -> Vec<Tick> {
    let regular = (0..BARS).step_by(BARS_PER_TICK);
    let regular = regular.map(|bar| Tick { x: x(bar), label: days_before(bar).to_string() });
    let older = Tick { x: x(BARS) + bar_width() / 2.0, label: format!("{}+", days_before(BARS)) };
    regular.chain([older]).collect()
}

#[expect(clippy::cast_precision_loss, reason = "some tens of bars")]
fn x(bar: usize) -> f64 {
    LEFT + bar as f64 * bar_width()
}

#[expect(clippy::cast_precision_loss, reason = "some tens of bars")]
fn bar_width() -> f64 {
    (RIGHT - LEFT) / (BARS + 1) as f64
}

fn x_of_days(days: u32) -> f64 {
    let bars = f64::from(days) / f64::from(DAYS_PER_BAR);
    (LEFT + bars * bar_width()).min(RIGHT)
}

fn y(keys: u32, top: u32) -> f64 {
    BOTTOM - (BOTTOM - TOP) * f64::from(keys) / f64::from(top)
}

/// The least round number that, times the number of lines, reaches over the highest bar.
fn step(highest: u32) -> u32 {
    let least = highest.div_ceil(LINES).max(1);
    let power = 10_u32.pow(least.ilog10());
    let round = [1, 2, 3, 4, 5, 6, 8, 10].into_iter().map(|factor| factor * power);
    round.into_iter().find(|step| *step >= least).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_at_round_numbers_above_the_highest_bar() {
        for (highest, expected) in [(0, 1), (4, 1), (5, 2), (81, 30), (207, 60), (400, 100), (401, 200)] {
            assert_eq!(step(highest), expected, "{highest}");
        }
    }

    #[test]
    fn every_key_is_in_a_bar_and_every_bar_inside_the_frame() {
        let mut counts = AgeCounts::default();
        for age_days in 0..1_000 {
            counts.add(age_days, if age_days < 90 { KeyState::Fresh } else { KeyState::Stale });
        }
        counts.add(u32::MAX, KeyState::Inactive);
        let chart = AgeChart::new(&counts, 90);
        let tops = chart.bars.iter().flat_map(|bar| &bar.parts).map(|part| part.y);
        assert!(tops.into_iter().all(|y| (TOP..BOTTOM).contains(&y)));
        let keys =
            chart.bars.iter().map(|bar| bar.title.rsplit(' ').nth(1).unwrap().parse::<usize>().unwrap());
        assert_eq!(keys.sum::<usize>(), 1_001);
    }
}
