//! Lines: how something goes on over time.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::{Error, Result};

/// The picture's size, in pixels.
const SIZE: (u32, u32) = (960, 360);
/// Room above the highest point, as a part of its height.
const HEADROOM: f64 = 0.25;

const FONT: &str = "sans-serif";
const TITLE_SIZE: u32 = 18;
const TEXT_SIZE: u32 = 13;
const INK: RGBColor = RGBColor(38, 38, 38);
const GRID: RGBColor = RGBColor(226, 226, 226);
const LEVEL: RGBColor = RGBColor(120, 120, 120);
/// Told apart by the colour-blind too.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// Lines over a common time.
#[derive(Clone, Debug)]
pub struct Lines {
    /// What it is about.
    pub title: String,
    /// What is counted to the right.
    pub x: String,
    /// What is counted upwards.
    pub y: String,
    /// A height that all are compared with, and what it is.
    pub level: Option<(String, f64)>,
    /// One line each.
    pub series: Vec<Series>,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is, for the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Lines {
    /// The picture.
    ///
    /// # Errors
    ///
    /// [`Error::Picture`] if it cannot be drawn.
    pub fn to_svg(&self) -> Result<String> {
        let mut svg = String::new();
        let drawn = self.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area());
        drawn.map_err(|error| Error::Picture(error.to_string()))?;
        Ok(svg)
    }

    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn std::error::Error + '_>> {
        let text = |size: u32| (FONT, size).into_font().color(&INK);
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, text(TITLE_SIZE))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..self.right(), 0.0..self.top())?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(WHITE)
            .label_style(text(TEXT_SIZE))
            .axis_desc_style(text(TEXT_SIZE))
            .draw()?;
        if let Some((name, height)) = &self.level {
            let line = [(0.0, *height), (self.right(), *height)];
            chart.draw_series(DashedLineSeries::new(line, 6, 4, LEVEL.stroke_width(2)))?;
            let style = text(TEXT_SIZE).pos(Pos::new(HPos::Right, VPos::Bottom));
            chart.draw_series([Text::new(name.clone(), (self.right(), *height), style)])?;
        }
        for (series, colour) in self.series.iter().zip(COLOURS) {
            let line = LineSeries::new(series.points.iter().copied(), colour.stroke_width(2));
            let key = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3));
            chart.draw_series(line)?.label(&series.name).legend(key);
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(text(TEXT_SIZE))
            .background_style(WHITE)
            .draw()?;
        area.present()?;
        Ok(())
    }

    fn right(&self) -> f64 {
        self.points().map(|(x, _)| x).fold(1.0, f64::max)
    }

    fn top(&self) -> f64 {
        let level = self.level.as_ref().map_or(1.0, |(_, height)| *height);
        self.points().map(|(_, y)| y).fold(level, f64::max) * (1.0 + HEADROOM)
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| series.points.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_names_its_lines_and_the_level() {
        let chart = Lines {
            title: "Calls".to_owned(),
            x: "seconds".to_owned(),
            y: "calls".to_owned(),
            level: Some(("allowed".to_owned(), 20.0)),
            series: vec![
                Series { name: "answered".to_owned(), points: vec![(0.0, 5.0), (1.0, 20.0), (2.0, 19.0)] },
                Series { name: "throttled".to_owned(), points: vec![(0.0, 0.0), (1.0, 30.0), (2.0, 0.0)] },
            ],
        };
        let svg = chart.to_svg().unwrap();
        for words in ["Calls", "seconds", "calls", "allowed", "answered", "throttled"] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
    }

    #[test]
    fn nothing_is_a_picture_too() {
        let chart =
            Lines { title: String::new(), x: String::new(), y: String::new(), level: None, series: vec![] };
        assert!(chart.to_svg().unwrap().ends_with("</svg>\n"));
    }
}
