//! Bars: how several compare.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::{Error, Result};

// All in pixels, but letters come out a fifth smaller. They are large for the picture: it is looked at on phones, too.
const WIDTH: i32 = 720;
const MARGIN: i32 = 24;
const TITLE_HEIGHT: i32 = 92;
const HEADING_HEIGHT: i32 = 52;
const BAR_HEIGHT: i32 = 34;
const BAR_PITCH: i32 = 48;
/// Where the bars begin: names are to the left of it.
const BARS_AT: i32 = 304;
/// Room for the value of the longest bar.
const VALUE_WIDTH: i32 = 90;
/// A bar is seen, however short it is.
const BAR_MIN: i32 = 3;

const FONT: &str = "sans-serif";
const TITLE_SIZE: u32 = 36;
const HEADING_SIZE: u32 = 31;
const TEXT_SIZE: u32 = 28;
const INK: RGBColor = RGBColor(38, 38, 38);
const FAINT: RGBColor = RGBColor(100, 100, 100);
/// What the picture is about.
const OURS: RGBColor = RGBColor(0, 114, 178);
const OTHERS: RGBColor = RGBColor(166, 166, 166);

/// Groups of bars. Each group has a scale of its own, from zero, and each bar its value beside it.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What is compared.
    pub title: String,
    /// Under which conditions.
    pub subtitle: String,
    /// From top to bottom.
    pub groups: Vec<Group>,
}

/// Bars that are compared with one another.
#[derive(Clone, Debug)]
pub struct Group {
    /// What sets them apart from other groups.
    pub name: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One of those that are compared.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// How long it is; not negative.
    pub value: f64,
    /// Whether the picture is about it, rather than about what it is compared with.
    pub is_ours: bool,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

impl Bars {
    /// The picture.
    ///
    /// # Errors
    ///
    /// [`Error::Picture`] if it cannot be drawn.
    pub fn to_svg(&self) -> Result<String> {
        let mut svg = String::new();
        let size = (WIDTH.unsigned_abs(), self.height().unsigned_abs());
        let drawn = self.draw(&SVGBackend::with_string(&mut svg, size).into_drawing_area());
        drawn.map_err(|error| Error::Picture(error.to_string()))?;
        Ok(svg)
    }

    fn height(&self) -> i32 {
        let groups = self.groups.iter().map(Group::height);
        TITLE_HEIGHT + groups.sum::<i32>() + MARGIN
    }

    fn draw<'a>(&self, area: &Area<'a>) -> Drawn<'a> {
        area.fill(&WHITE)?;
        text(area, &self.title, (MARGIN, 34), (TITLE_SIZE, INK, HPos::Left))?;
        text(area, &self.subtitle, (MARGIN, 68), (TEXT_SIZE, FAINT, HPos::Left))?;
        let mut top = TITLE_HEIGHT;
        for group in &self.groups {
            group.draw(area, top)?;
            top += group.height();
        }
        area.present()
    }
}

impl Group {
    fn height(&self) -> i32 {
        let bars = i32::try_from(self.bars.len()).unwrap_or(i32::MAX);
        HEADING_HEIGHT + BAR_PITCH * bars
    }

    fn draw<'a>(&self, area: &Area<'a>, top: i32) -> Drawn<'a> {
        text(area, &self.name, (MARGIN, top + HEADING_HEIGHT / 2), (HEADING_SIZE, INK, HPos::Left))?;
        let longest = self.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        let tops = (top + HEADING_HEIGHT..).step_by(BAR_PITCH.unsigned_abs() as usize);
        for (bar, top) in self.bars.iter().zip(tops) {
            bar.draw(area, top, bar.value / longest)?;
        }
        Ok(())
    }
}

impl Bar {
    /// `length` is a part of the longest one's.
    fn draw<'a>(&self, area: &Area<'a>, top: i32, length: f64) -> Drawn<'a> {
        let colour = if self.is_ours { OURS } else { OTHERS };
        let room = f64::from(WIDTH - MARGIN - VALUE_WIDTH - BARS_AT);
        #[expect(clippy::cast_possible_truncation, reason = "a part of the picture's width")]
        let end = BARS_AT + ((room * length).round() as i32).max(BAR_MIN);
        let middle = top + BAR_HEIGHT / 2;
        area.draw(&Rectangle::new([(BARS_AT, top), (end, top + BAR_HEIGHT)], colour.filled()))?;
        text(area, &self.name, (BARS_AT - 12, middle), (TEXT_SIZE, INK, HPos::Right))?;
        text(area, &in_words(self.value), (end + 10, middle), (TEXT_SIZE, INK, HPos::Left))
    }
}

/// Three digits tell enough.
fn in_words(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn text<'a>(
    area: &Area<'a>,
    what: &str,
    at: (i32, i32),
    (size, colour, anchor): (u32, RGBColor, HPos),
) -> Drawn<'a> {
    let style = TextStyle::from((FONT, size).into_font()).color(&colour).pos(Pos::new(anchor, VPos::Center));
    area.draw(&Text::new(what.to_owned(), at, style))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, value: f64) -> Bar {
        Bar { name: name.to_owned(), value, is_ours: name == "one" }
    }

    #[test]
    fn every_bar_has_its_name_and_its_value() {
        let bars = Bars {
            title: "Users per second".to_owned(),
            subtitle: "many users".to_owned(),
            groups: vec![
                Group { name: "fast".to_owned(), bars: vec![bar("one", 412.4), bar("other", 15.25)] },
                Group { name: "none".to_owned(), bars: vec![bar("idle", 0.0)] },
            ],
        };
        let svg = bars.to_svg().unwrap();
        for text in
            ["Users per second", "many users", "fast", "one", "412", "other", "15.2", "none", "idle", "0.0"]
        {
            assert!(svg.contains(&format!("\n{text}\n")), "{text}: {svg}");
        }
        assert_eq!(svg.matches("<rect ").count(), 4, "the ground and three bars");
    }
}
