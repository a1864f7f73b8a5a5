//! Whole figures: what an SVG says, and what a PNG shows.

use resvg::tiny_skia::Pixmap;

use super::*;

fn figure() -> Figure {
    let stroke = Stroke::solid(Colour::of(1));
    let line = |points: &[(f64, f64)], stroke| Line { points: points.to_vec(), stroke };
    Figure {
        title: "a < b & \"c\"".to_owned(),
        panels: vec![
            Panel {
                title: "left".to_owned(),
                note: "in small print".to_owned(),
                lines: vec![line(&[(0.0, 0.0), (1.0, 1.0)], stroke)],
                ..Panel::new(Axis::linear("across", 0.0, 1.0), Axis::linear("up", -1.0, 1.0))
            },
            Panel {
                lines: vec![line(&[(1.0, 10.0), (100.0, 10.0)], Stroke::solid(Colour::of(2)).dashed(Dash::Dashed))],
                ..Panel::new(Axis::log("", 1.0, 100.0), Axis::log("", 1.0, 100.0))
            },
        ],
        legend: vec![vec![Key { text: "slanted".to_owned(), stroke }]],
        ..Figure::default()
    }
}

/// The number of an attribute of the root.
fn attribute(svg: &str, name: &str) -> u32 {
    let (_, rest) = svg.split_once(&format!(" {name}=\"")).unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

/// Pixels of a colour, from x to x in shares of the width.
fn count(picture: &Pixmap, colour: Colour, from: f64, to: f64) -> usize {
    let width = f64::from(picture.width());
    let of = |x: u32| (from..to).contains(&(f64::from(x) / width));
    let is = |x: u32, y: u32| {
        let pixel = picture.pixel(x, y).unwrap();
        (pixel.red(), pixel.green(), pixel.blue()) == (colour.0, colour.1, colour.2)
    };
    (0..picture.width()).filter(|&x| of(x)).map(|x| (0..picture.height()).filter(|&y| is(x, y)).count()).sum()
}

#[test]
fn an_svg_holds_every_text_and_line() {
    let svg = figure().svg().unwrap();
    for text in ["a &lt; b &amp; &quot;c&quot;", "left", "in small print", "across", "up", "slanted", "\u{2212}0.5"] {
        assert!(svg.contains(text), "{text}");
    }
    assert_eq!(svg, figure().svg().unwrap());
    // Drawn in tenths of a pixel, shown in pixels.
    let (width, height) = (attribute(&svg, "width"), attribute(&svg, "height"));
    assert!(svg.contains(&format!("viewBox=\"0 0 {} {}\"", width * 10, height * 10)));
    assert!(width > 2 * 380 && height > 290);
    // A straight line keeps its two ends; a dash and a gap are 12 pixels of 380.
    assert_eq!(svg.matches("stroke=\"#D55E00\"").count(), 2);
    assert_eq!(svg.matches("stroke=\"#009E73\"").count(), 32);
}

#[test]
fn a_png_shows_what_the_svg_says() {
    let (svg, png) = (figure().svg().unwrap(), figure().png().unwrap());
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let picture = Pixmap::decode_png(&png).unwrap();
    assert_eq!((picture.width(), picture.height()), (2 * attribute(&svg, "width"), 2 * attribute(&svg, "height")));
    let white = count(&picture, Colour(255, 255, 255), 0.0, 1.0);
    let all = (picture.width() * picture.height()) as usize;
    assert!(white > all * 8 / 10 && white < all, "{white} of {all}");
    // 380 by 145 pixels of slope at 3.6 bitmap pixels each on the left; dashes on two thirds of 760 on the right.
    assert!(count(&picture, Colour::of(1), 0.0, 0.5) > 1500);
    assert!((1000..3000).contains(&count(&picture, Colour::of(2), 0.5, 1.0)));
    assert_eq!(count(&picture, Colour::of(2), 0.0, 0.5), 0);
}

#[test]
fn blocks_dots_and_texts_stay_within_the_axes() {
    let block = |x, y| Block { x, y, fill: Colour::of(4) };
    let text = |at: (f64, f64), text: &str| Text {
        at,
        text: text.to_owned(),
        size: 11.0,
        colour: Colour::INK,
        place: Place::Above,
    };
    let panel = Panel {
        grid: Grid::None,
        // A quarter of the panel, half of it given twice as large, and what is outside or empty.
        blocks: vec![block((0.0, 0.5), (0.0, 0.25)), block((1.5, 0.5), (0.5, 0.75)), block((1.1, 2.0), (0.0, 1.0))],
        dots: vec![Dots { points: vec![(0.5, 0.9), (1.5, 0.5), (f64::NAN, 0.5)], colour: Colour::of(1), radius: 5.0 }],
        texts: vec![text((0.2, 0.5), "shown"), text((0.2, 1.5), "beyond")],
        ..Panel::new(Axis::linear("", 0.0, 1.0), Axis::linear("", 0.0, 1.0))
    };
    let figure = Figure { panels: vec![panel], panel_size: (200, 100), ..Figure::default() };
    let svg = figure.svg().unwrap();
    assert!(svg.contains("shown") && !svg.contains("beyond"));
    assert_eq!(svg.matches("<circle").count(), 1);
    let picture = Pixmap::decode_png(&figure.png().unwrap()).unwrap();
    // Two bitmap pixels each way: 2 blocks of 100 by 25 CSS pixels, less what the frame covers of them.
    let pixels = count(&picture, Colour::of(4), 0.0, 1.0);
    assert!((19_400..=20_000).contains(&pixels), "{pixels}");
    let disc = count(&picture, Colour::of(1), 0.0, 1.0);
    assert!((270..=330).contains(&disc), "{disc}");
}

#[test]
fn text_is_drawn_without_fonts_of_the_machine() {
    let blank = Figure { title: String::new(), ..figure() };
    let (with, without) = (figure().png().unwrap(), blank.png().unwrap());
    let dark = |png: &[u8]| count(&Pixmap::decode_png(png).unwrap(), Colour(0, 0, 0), 0.3, 0.7);
    assert!(dark(&with) > dark(&without) + 100);
}

#[test]
fn a_wide_legend_is_broken_into_rows_and_a_long_entry_widens_the_figure() {
    let keys = |texts: &[&str]| {
        let key = |text: &&str| Key { text: (*text).to_owned(), stroke: Stroke::solid(Colour::of(0)) };
        let legend = vec![texts.iter().map(key).collect()];
        let svg = Figure { legend, ..figure() }.svg().unwrap();
        (attribute(&svg, "width"), attribute(&svg, "height"))
    };
    let (width, height) = keys(&["short"]);
    assert_eq!(keys(&["short", "short"]), (width, height));
    assert_eq!(keys(&["sixteen letters."; 8]), (width, height + 20));
    assert!(keys(&["x".repeat(200).as_str()]).0 > width + 300);
}

#[test]
fn what_cannot_be_drawn_or_written_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(matches!(Figure::default().write(&at("x.svg")), Err(FigureError::NoPanels)));
    assert!(matches!(figure().write(&at("x.pdf")), Err(FigureError::Extension { .. })));
    assert!(matches!(figure().write(&at("x")), Err(FigureError::Extension { .. })));
    assert!(matches!(figure().write(&at("none/x.png")), Err(FigureError::Write { .. })));
    let mut wrong = figure();
    wrong.panels[1].x.low = 0.0;
    assert!(matches!(wrong.write(&at("x.svg")), Err(FigureError::Axis { .. })));
    std::fs::create_dir(at("folder.svg")).unwrap();
    assert!(matches!(figure().write(&at("folder.svg")), Err(FigureError::Write { .. })));
    figure().write(&at("x.SVG")).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["folder.svg", "x.SVG"]);
}
