//! The layout of a figure, and its drawing as SVG.

use plotters::coord::ranged1d::{BoldPoints, Ranged as _};
use plotters::prelude::{ChartBuilder, IntoDrawingArea as _, LabelAreaPosition, Rectangle, SVGBackend, WHITE};

use super::canvas::{Align, Canvas, UNITS, failed, load_font, shape, text_style, text_width, units};
use super::line::{clipped, simplified};
use super::marks::{draw_blocks, draw_dots, draw_texts};
use super::{Colour, Figure, FigureError, Grid, Key, Panel};

const MARGIN: f64 = 12.0;
const TITLE: f64 = 16.0;
const PANEL_TITLE: f64 = 14.0;
const LABEL: f64 = 13.0;
const TICK: f64 = 12.0;
const NOTE: f64 = 10.5;
const GRID: Colour = Colour(224, 224, 224);
const FRAME: Colour = Colour(96, 96, 96);
/// Length of a legend's sample of a line, and the space after it and after its text.
const SAMPLE: (f64, f64, f64) = (30.0, 7.0, 22.0);
const LEGEND_ROW: f64 = 20.0;
const LEGEND_GAP: f64 = 8.0;
/// Length of the marks on the axes; twice as far from the axis stand the numbers.
const TICK_MARK: f64 = 4.0;

/// What is around the axes of each panel, in CSS pixels.
struct Cell {
    left: f64,
    right: f64,
    above: f64,
    below: f64,
    size: (f64, f64),
}

impl Cell {
    fn of(figure: &Figure) -> Result<Self, FigureError> {
        let size = (f64::from(figure.panel_size.0), f64::from(figure.panel_size.1));
        let mut numbers = 0.0_f64;
        for axis in figure.panels.iter().map(|panel| &panel.y) {
            for value in axis.ranged().key_points(BoldPoints(y_ticks(size.1))) {
                numbers = numbers.max(text_width(&axis.tick(value), TICK)?);
            }
        }
        let any = |has: fn(&Panel) -> bool| figure.panels.iter().any(has);
        let row = |wanted: bool, height: f64| if wanted { height } else { 0.0 };
        Ok(Self {
            left: numbers + 2.0 * TICK_MARK + 6.0 + row(any(|panel| !panel.y.label.is_empty()), 18.0),
            right: 14.0,
            above: 8.0
                + row(any(|panel| !panel.title.is_empty()), 20.0)
                + row(any(|panel| !panel.note.is_empty()), 16.0),
            below: 24.0 + row(any(|panel| !panel.x.label.is_empty()), 18.0),
            size,
        })
    }

    fn width(&self) -> f64 {
        self.left + self.size.0 + self.right
    }

    fn height(&self) -> f64 {
        self.above + self.size.1 + self.below
    }
}

impl Figure {
    /// The figure as an SVG document, the same bytes each time.
    ///
    /// # Errors
    /// No panel, or an axis that no value fits on.
    pub fn svg(&self) -> Result<String, FigureError> {
        if self.panels.is_empty() {
            return Err(FigureError::NoPanels);
        }
        self.panels.iter().try_for_each(|panel| panel.x.check().and(panel.y.check()))?;
        load_font()?;
        let cell = Cell::of(self)?;
        let columns = self.columns.clamp(1, self.panels.len());
        let rows = self.panels.len().div_ceil(columns);
        let inner = self.width(&cell, columns)?;
        let legend = legend_rows(&self.legend, inner)?;
        let top = MARGIN + if self.title.is_empty() { 0.0 } else { 26.0 };
        let bottom = top + rows as f64 * cell.height();
        let size = (inner + 2.0 * MARGIN, bottom + LEGEND_GAP + legend.len() as f64 * LEGEND_ROW + MARGIN);
        let pixels = (size.0.ceil(), size.1.ceil());
        let in_units = (units(pixels.0).unsigned_abs(), units(pixels.1).unsigned_abs());
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, in_units).into_drawing_area();
            area.fill(&WHITE).map_err(failed)?;
            let canvas = Canvas(&area);
            if !self.title.is_empty() {
                canvas.text((size.0 / 2.0, MARGIN + 8.0), &self.title, TITLE, Colour(0, 0, 0), Align::Middle)?;
            }
            let indent = (size.0 - columns as f64 * cell.width()) / 2.0;
            for (at, panel) in self.panels.iter().enumerate() {
                let left = indent + (at % columns) as f64 * cell.width();
                draw_panel(&canvas, panel, &cell, (left, top + (at / columns) as f64 * cell.height()))?;
            }
            for (at, row) in legend.iter().enumerate() {
                let middle = bottom + LEGEND_GAP + (at as f64 + 0.5) * LEGEND_ROW;
                draw_legend_row(&canvas, row, size.0 / 2.0, middle)?;
            }
            area.present().map_err(failed)?;
        }
        // The drawing library takes a unit for a pixel.
        let unscaled = format!("width=\"{}\" height=\"{}\"", in_units.0, in_units.1);
        Ok(svg.replacen(&unscaled, &format!("width=\"{}\" height=\"{}\"", pixels.0, pixels.1), 1))
    }

    /// Wide enough for the panels, the title and every entry of the legend.
    fn width(&self, cell: &Cell, columns: usize) -> Result<f64, FigureError> {
        let mut width = (columns as f64 * cell.width()).max(text_width(&self.title, TITLE)?);
        for key in self.legend.iter().flatten() {
            width = width.max(key_width(key)?);
        }
        Ok(width)
    }
}

fn key_width(key: &Key) -> Result<f64, FigureError> {
    Ok(SAMPLE.0 + SAMPLE.1 + text_width(&key.text, TICK)? + SAMPLE.2)
}

/// Breaks each group of the legend into rows no wider than `width`; of each entry, its own width too.
fn legend_rows(groups: &[Vec<Key>], width: f64) -> Result<Vec<Vec<(&Key, f64)>>, FigureError> {
    let mut rows: Vec<Vec<(&Key, f64)>> = Vec::new();
    for group in groups {
        let mut used = f64::INFINITY;
        for key in group {
            let needed = key_width(key)?;
            if used + needed > width {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += needed;
            if let Some(row) = rows.last_mut() {
                row.push((key, needed));
            }
        }
    }
    Ok(rows)
}

fn draw_legend_row(canvas: &Canvas, row: &[(&Key, f64)], centre: f64, y: f64) -> Result<(), FigureError> {
    let width: f64 = row.iter().map(|(_, width)| width).sum::<f64>() - SAMPLE.2;
    let mut x = centre - width / 2.0;
    for (key, width) in row {
        canvas.line(&[(x, y), (x + SAMPLE.0, y)], key.stroke)?;
        canvas.text((x + SAMPLE.0 + SAMPLE.1, y), &key.text, TICK, Colour::INK, Align::Start)?;
        x += width;
    }
    Ok(())
}

/// Draws a panel whose cell has its upper left corner at `corner`.
fn draw_panel(canvas: &Canvas, panel: &Panel, cell: &Cell, corner: (f64, f64)) -> Result<(), FigureError> {
    let (left, top) = (corner.0 + cell.left, corner.1 + cell.above);
    let (width, height) = cell.size;
    let middle = left + width / 2.0;
    let mut line = top - 4.0;
    if !panel.note.is_empty() {
        line -= 8.0;
        canvas.text((middle, line), &panel.note, NOTE, FRAME, Align::Middle)?;
        line -= 8.0;
    }
    if !panel.title.is_empty() {
        canvas.text((middle, line - 10.0), &panel.title, PANEL_TITLE, Colour(0, 0, 0), Align::Middle)?;
    }
    draw_axes(canvas, panel, cell, corner)?;
    let place = |&(x, y): &(f64, f64)| (panel.x.place(x), panel.y.place(y));
    let on_page = |(x, y): (f64, f64)| (left + x * width, top + (1.0 - y) * height);
    draw_blocks(canvas, &panel.blocks, place, on_page)?;
    if !panel.blocks.is_empty() {
        draw_frame(canvas, cell, corner)?;
    }
    draw_dots(canvas, &panel.dots, place, on_page)?;
    for curve in &panel.lines {
        let points: Vec<(f64, f64)> = curve.points.iter().map(place).collect();
        if let [point] = points[..] {
            if (0.0..=1.0).contains(&point.0) && (0.0..=1.0).contains(&point.1) {
                canvas.dot(on_page(point), curve.stroke)?;
            }
            continue;
        }
        for part in clipped(&points) {
            let part: Vec<(f64, f64)> = part.into_iter().map(on_page).collect();
            // Half a unit: nothing that the drawing library could show is lost.
            canvas.line(&simplified(&part, 0.5 / UNITS), curve.stroke)?;
        }
    }
    draw_texts(canvas, &panel.texts, place, on_page)
}

/// The most numbers on a horizontal axis of so many pixels.
fn x_ticks(pixels: f64) -> usize {
    (pixels / 34.0).round().max(3.0) as usize
}

/// The most numbers on a vertical axis: in small panels they stand closer.
fn y_ticks(pixels: f64) -> usize {
    (pixels / 30.0).max((pixels / 18.0).min(6.0)).round().max(2.0) as usize
}

/// Grid, frame, ticks and labels.
fn draw_axes(canvas: &Canvas, panel: &Panel, cell: &Cell, corner: (f64, f64)) -> Result<(), FigureError> {
    let area = canvas.0.clone().shrink(
        (units(corner.0), units(corner.1 + cell.above)),
        (units(cell.left + cell.size.0), units(cell.size.1 + cell.below)),
    );
    let mut chart = ChartBuilder::on(&area)
        .set_label_area_size(LabelAreaPosition::Left, units(cell.left))
        .set_label_area_size(LabelAreaPosition::Bottom, units(cell.below))
        .build_cartesian_2d(panel.x.ranged(), panel.y.ranged())
        .map_err(failed)?;
    let (x_tick, y_tick) = (|value: &f64| panel.x.tick(*value), |value: &f64| panel.y.tick(*value));
    let mut mesh = chart.configure_mesh();
    mesh.x_label_formatter(&x_tick)
        .y_label_formatter(&y_tick)
        .x_labels(x_ticks(cell.size.0))
        .y_labels(y_ticks(cell.size.1))
        .max_light_lines(0)
        .bold_line_style(shape(GRID, 0.6))
        .light_line_style(shape(GRID, 0.6))
        .axis_style(shape(FRAME, 1.0))
        .set_all_tick_mark_size(units(TICK_MARK))
        .label_style(text_style(TICK, Colour::INK))
        .axis_desc_style(text_style(LABEL, Colour(0, 0, 0)));
    if !panel.x.label.is_empty() {
        mesh.x_desc(panel.x.label.as_str());
    }
    if !panel.y.label.is_empty() {
        mesh.y_desc(panel.y.label.as_str());
    }
    match panel.grid {
        Grid::Both => {}
        Grid::Horizontal => {
            mesh.disable_x_mesh();
        }
        Grid::None => {
            mesh.disable_mesh();
        }
    }
    mesh.draw().map_err(failed)?;
    draw_frame(canvas, cell, corner)
}

fn draw_frame(canvas: &Canvas, cell: &Cell, corner: (f64, f64)) -> Result<(), FigureError> {
    let (left, top) = (corner.0 + cell.left, corner.1 + cell.above);
    let corners = [(left, top), (left + cell.size.0, top + cell.size.1)].map(|(x, y)| (units(x), units(y)));
    let frame = Rectangle::new(corners, shape(FRAME, 1.0));
    canvas.0.draw(&frame).map_err(failed)
}
