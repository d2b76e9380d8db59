//! The distribution of keys' ages: counted, and laid out as bars for a page's SVG.

use serde::Serialize;

/// One bar of the finest drawing is as many days, and the last one is all that are older.
const DAYS_PER_BAR: u32 = 10;
const BARS: usize = 39;

/// Horizontal lines to read the height by.
const LINES: u32 = 4;

/// One way to draw the chart, in SVG's units.
struct Layout {
    /// Its class in the page's style.
    name: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    gap: f64,
    /// How many of the counted bars are drawn as one.
    merged: usize,
    bars_per_tick: usize,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        name: "wide",
        width: 960.0,
        height: 320.0,
        left: 48.0,
        right: 948.0,
        top: 34.0,
        bottom: 266.0,
        gap: 2.0,
        merged: 1,
        bars_per_tick: 3,
    },
    // As wide as it is shown on a phone, so that letters are of their usual size.
    Layout {
        name: "narrow",
        width: 340.0,
        height: 260.0,
        left: 42.0,
        right: 334.0,
        top: 34.0,
        bottom: 206.0,
        gap: 2.0,
        merged: 3,
        bars_per_tick: 3,
    },
];

/// The chart, ready to be drawn in the ways that a page has room for.
#[derive(Serialize)]
pub struct AgeChart {
    threshold_days: u32,
    keys: u32,
    drawings: Vec<Drawing>,
}

#[derive(Serialize)]
struct Drawing {
    name: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    bottom: f64,
    bar_width: f64,
    bars: Vec<Bar>,
    lines: Vec<Line>,
    ticks: Vec<Tick>,
    threshold: Threshold,
}

#[derive(Serialize)]
struct Bar {
    x: f64,
    title: String,
    parts: Vec<Part>,
    /// Where one part ends and the next begins.
    seams: Vec<f64>,
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

/// The line at the age from which active keys are stale, and where its label has room.
#[derive(Serialize)]
struct Threshold {
    x: f64,
    label_x: f64,
    label_anchor: &'static str,
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

    fn and(self, other: Self) -> Self {
        Self {
            fresh: self.fresh + other.fresh,
            stale: self.stale + other.stale,
            inactive: self.inactive + other.inactive,
        }
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

    /// How many keys were counted.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().map(|count| count.total()).sum()
    }

    /// The keys of each bar, if so many are drawn as one; those older than all others stay apart.
    fn merged(&self, bars: usize) -> Vec<Count> {
        let together = |counts: &[Count]| counts.iter().copied().fold(Count::default(), Count::and);
        let (younger, older) = self.0.split_at(BARS);
        younger.chunks(bars).map(together).chain([together(older)]).collect()
    }
}

impl AgeChart {
    /// The chart of `counts`, with a mark at the age from which active keys are stale.
    #[must_use]
    pub fn new(counts: &AgeCounts, threshold_days: u32) -> Self {
        let drawings = LAYOUTS.iter().map(|layout| layout.draw(counts, threshold_days));
        Self { threshold_days, keys: counts.total(), drawings: drawings.collect() }
    }
}

impl Layout {
    fn draw(&self, counts: &AgeCounts, threshold_days: u32) -> Drawing {
        let counts = counts.merged(self.merged);
        let step = step(counts.iter().map(|count| count.total()).max().unwrap_or_default());
        let top = step * LINES;
        let line = |line| Line { y: self.y(line * step, top), label: line * step };
        Drawing {
            name: self.name,
            width: self.width,
            height: self.height,
            left: self.left,
            right: self.right,
            bottom: self.bottom,
            bar_width: self.pitch() - self.gap,
            bars: counts.iter().enumerate().map(|(at, count)| self.bar(at, *count, top)).collect(),
            lines: (0..=LINES).map(line).collect(),
            ticks: self.ticks(),
            threshold: self.threshold(threshold_days),
        }
    }

    /// A bar's parts stand on one another: what matters most at the bottom.
    fn bar(&self, at: usize, count: Count, top: u32) -> Bar {
        let mut base = 0;
        let kinds = [("stale", count.stale), ("fresh", count.fresh), ("inactive", count.inactive)];
        let parts = kinds.into_iter().filter(|(_, keys)| *keys > 0).map(|(kind, keys)| {
            base += keys;
            let y_top = self.y(base, top);
            Part { kind, y: y_top, height: round(self.y(base - keys, top) - y_top) }
        });
        let parts: Vec<Part> = parts.collect();
        let seams = parts.iter().rev().skip(1).map(|part| part.y).collect();
        let keys = count.total();
        let title = format!("{}: {keys} key{}", self.days(at), if keys == 1 { "" } else { "s" });
        Bar { x: round(self.x(at) + self.gap / 2.0), title, parts, seams }
    }

    fn days(&self, bar: usize) -> String {
        let from = self.days_before(bar);
        if bar == self.bars() {
            format!("{from} days and more")
        } else {
            format!("{from} to {} days", self.days_before(bar + 1) - 1)
        }
    }

    /// Without the last one.
    fn bars(&self) -> usize {
        BARS / self.merged
    }

    fn days_before(&self, bar: usize) -> u32 {
        u32::try_from(bar * self.merged).unwrap_or_default() * DAYS_PER_BAR
    }

    fn ticks(&self) -> Vec<Tick> {
        // One right before the last, which has a label of its own, would have no room.
        let regular = (0..self.bars()).step_by(self.bars_per_tick);
        let regular =
            regular.map(|bar| Tick { x: round(self.x(bar)), label: self.days_before(bar).to_string() });
        let last = self.x(self.bars()) + self.pitch() / 2.0;
        let older = Tick { x: round(last), label: format!("{}+", self.days_before(self.bars())) };
        regular.filter(|tick| last - tick.x > LABEL_WIDTH).chain([older]).collect()
    }

    fn threshold(&self, days: u32) -> Threshold {
        let bars = f64::from(days) / f64::from(self.days_before(1));
        let x = round((self.left + bars * self.pitch()).min(self.right));
        let is_left = x < f64::midpoint(self.left, self.right);
        let (label_x, label_anchor) = if is_left { (x + 8.0, "start") } else { (x - 8.0, "end") };
        Threshold { x, label_x, label_anchor }
    }

    #[expect(clippy::cast_precision_loss, reason = "some tens of bars")]
    fn x(&self, bar: usize) -> f64 {
        self.left + bar as f64 * self.pitch()
    }

    /// From one bar to the next.
    #[expect(clippy::cast_precision_loss, reason = "some tens of bars")]
    fn pitch(&self) -> f64 {
        (self.right - self.left) / (self.bars() + 1) as f64
    }

    fn y(&self, keys: u32, top: u32) -> f64 {
        round(self.bottom - (self.bottom - self.top) * f64::from(keys) / f64::from(top))
    }
}

/// What a tick's label takes, with some air.
const LABEL_WIDTH: f64 = 34.0;

/// Thousandths of a unit are more than anybody sees, and the heights of single keys among many are not lost.
fn round(length: f64) -> f64 {
    (length * 1_000.0).round() / 1_000.0
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
        assert_eq!(counts.total(), 1_001);
        for (layout, drawing) in LAYOUTS.iter().zip(AgeChart::new(&counts, 90).drawings) {
            let tops = drawing.bars.iter().flat_map(|bar| &bar.parts).map(|part| part.y);
            assert!(tops.into_iter().all(|y| (layout.top..layout.bottom).contains(&y)));
            let titles = drawing.bars.iter().map(|bar| bar.title.rsplit(' ').nth(1).unwrap());
            let keys: Vec<u32> = titles.map(|keys| keys.parse().unwrap()).collect();
            assert_eq!(keys.iter().sum::<u32>(), 1_001, "{}", layout.name);
            assert_eq!(*keys.last().unwrap(), 611, "{}", layout.name);
        }
    }

    #[test]
    fn the_thresholds_label_is_inside_the_frame_on_its_roomier_side() {
        for layout in &LAYOUTS {
            let [early, late, beyond] = [90, 300, 10_000].map(|days| layout.threshold(days));
            assert_eq!([early.label_anchor, late.label_anchor, beyond.label_anchor], ["start", "end", "end"]);
            assert!(beyond.x <= layout.right);
        }
    }
}
