//! The words of the built-in corpus: common English ones first in each class, then made-up ones.
//!
//! Drawn by [`Zipf`]'s law with the common ones as the frequent ranks, the made-up words are the long tail.

use std::collections::HashSet;

use rand_chacha::ChaCha8Rng;

use super::random::Zipf;

/// A class of words that fill the same slot of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Hobby,
    Food,
    Spice,
    Job,
    Company,
    Place,
    Animal,
    Name,
    Band,
    Instrument,
    Kin,
    Drink,
    Time,
    Title,
    Team,
    Sport,
    Plant,
    Colour,
    Vehicle,
    Language,
    /// Says what something is like: "a quiet town".
    Adjective,
    /// Approves: "that sounds great".
    Good,
    Hello,
    Bye,
    /// Strengthens: "really good".
    Really,
    /// Starts an answer: "wow , …".
    Wow,
}

/// What a class is made of.
struct Words {
    class: Class,
    common: &'static str,
    /// How many made-up words follow the common ones.
    made: usize,
    /// How the made-up words end.
    endings: &'static [&'static str],
    /// See [`OPEN`] and [`FRAME`].
    shift: u64,
}

/// How far the law is shifted in the classes that dialogues are about. The words of the templates take the first
/// ranks of the whole corpus; with this shift the classes together go on where those end, neither above nor below.
const OPEN: u64 = 22;
/// The same for the classes that belong to the templates, where few words do most of the work.
const FRAME: u64 = 2;

const CLASSES: [Words; 26] = [
    Words {
        class: Class::Hobby,
        common: "hiking reading cooking painting fishing dancing swimming singing camping knitting running \
                 drawing gardening sewing writing skating biking baking surfing bowling climbing sailing",
        made: 170,
        endings: &["ing", "ling", "king"],
        shift: OPEN,
    },
    Words {
        class: Class::Food,
        common: "pizza pasta chicken rice soup steak bread cheese fish tacos salad sushi beans bacon noodles \
                 pancakes curry burgers potatoes carrots lasagna cookies",
        made: 200,
        endings: &["o", "i", "oni", "eaf", "ets"],
        shift: OPEN,
    },
    Words {
        class: Class::Spice,
        common: "garlic butter pepper salt honey ginger lemon basil mint vinegar",
        made: 60,
        endings: &["il", "ay", "in"],
        shift: OPEN,
    },
    Words {
        class: Class::Job,
        common: "teacher nurse farmer lawyer doctor writer driver mechanic baker painter cook waiter singer \
                 plumber banker barber pilot manager librarian carpenter photographer dentist",
        made: 170,
        endings: &["er", "wright", "ist", "man"],
        shift: OPEN,
    },
    Words {
        class: Class::Company,
        common: "walmart target starbucks google amazon nasa costco disney ford nike",
        made: 110,
        endings: &["co", "tech", "mart", "works"],
        shift: OPEN,
    },
    Words {
        class: Class::Place,
        common: "texas california florida chicago boston ohio seattle london paris canada denver michigan \
                 portland italy mexico spain japan georgia virginia brooklyn houston dallas",
        made: 220,
        endings: &["ton", "ville", "burg", "field", "wick", "ia"],
        shift: OPEN,
    },
    Words {
        class: Class::Animal,
        common: "dog cat horse rabbit parrot hamster turtle fish lizard goat pony snake bird chicken ferret pig",
        made: 70,
        endings: &["at", "oo", "bird", "el"],
        shift: OPEN,
    },
    Words {
        class: Class::Name,
        common: "max bella charlie lucy sam daisy jack molly tom anna ben emma lily john mary david sarah \
                 mike kate bob jane peter rose george alice",
        made: 230,
        endings: &["a", "y", "us", "en", "ette"],
        shift: OPEN,
    },
    Words {
        class: Class::Band,
        common: "beatles stones eagles doors kinks ramones smiths cure police pixies",
        made: 160,
        endings: &["s", "ers", "oes"],
        shift: OPEN,
    },
    Words {
        class: Class::Instrument,
        common: "guitar piano drums violin flute trumpet banjo cello harp bass",
        made: 40,
        endings: &["ola", "horn", "ute"],
        shift: OPEN,
    },
    Words {
        class: Class::Kin,
        common: "sister brother mother father wife husband son daughter cousin uncle aunt grandfather \
                 grandmother niece nephew neighbor roommate boss",
        made: 0,
        endings: &[],
        shift: FRAME,
    },
    Words {
        class: Class::Drink,
        common: "coffee tea milk beer wine water juice soda lemonade cider cocoa whiskey",
        made: 90,
        endings: &["ade", "ale", "ino"],
        shift: OPEN,
    },
    Words {
        class: Class::Time,
        common: "day morning night evening weekend week afternoon monday friday sunday summer winter \
                 saturday month tuesday spring",
        made: 0,
        endings: &[],
        shift: FRAME,
    },
    Words {
        class: Class::Title,
        common: "dracula emma hamlet dune frankenstein macbeth ulysses beloved rebecca persuasion",
        made: 140,
        endings: &["ance", "ora", "elia", "os"],
        shift: OPEN,
    },
    Words {
        class: Class::Team,
        common: "bears lions giants cowboys yankees tigers cubs hawks bulls rangers",
        made: 120,
        endings: &["s", "hawks", "cats"],
        shift: OPEN,
    },
    Words {
        class: Class::Sport,
        common: "soccer football basketball tennis baseball hockey golf volleyball rugby softball",
        made: 40,
        endings: &["ball", "ey"],
        shift: OPEN,
    },
    Words {
        class: Class::Plant,
        common: "roses tomatoes tulips herbs daisies peppers lilies pumpkins corn apples",
        made: 130,
        endings: &["ias", "wort", "ers", "ums"],
        shift: OPEN,
    },
    Words {
        class: Class::Colour,
        common: "red blue green black white yellow pink purple golden gray brown silver",
        made: 40,
        endings: &["een", "ow"],
        shift: OPEN,
    },
    Words {
        class: Class::Vehicle,
        common: "truck car jeep van motorcycle bike bus scooter tractor mustang",
        made: 80,
        endings: &["ster", "ette", "mobile"],
        shift: OPEN,
    },
    Words {
        class: Class::Language,
        common: "spanish french german italian english chinese russian korean greek dutch",
        made: 90,
        endings: &["ish", "ese", "ic"],
        shift: OPEN,
    },
    Words {
        class: Class::Adjective,
        common: "big small new plain little pretty quiet cold warm happy busy funny crazy lazy strange fancy \
                 huge tiny wild loud soft sweet lovely famous cheap rare bright calm young fast \
                 modern gentle simple heavy dark hot clean dirty dry wet smart shy proud brave kind rich poor \
                 hungry sleepy noisy dusty rusty golden silly messy",
        made: 300,
        endings: &["y", "ish", "ic", "ful", "al"],
        shift: OPEN,
    },
    Words {
        class: Class::Good,
        common: "great good nice fun cool awesome fine amazing wonderful fantastic perfect excellent \
                 interesting exciting delightful terrific brilliant pleasant superb splendid",
        made: 90,
        endings: &["ous", "id", "some"],
        shift: FRAME,
    },
    Words { class: Class::Hello, common: "hi hello hey greetings howdy welcome", made: 0, endings: &[], shift: FRAME },
    Words { class: Class::Bye, common: "bye goodbye farewell cheers later", made: 0, endings: &[], shift: FRAME },
    Words {
        class: Class::Really,
        common: "really always truly just totally simply certainly definitely mostly clearly surely deeply",
        made: 90,
        endings: &["ly", "edly"],
        shift: FRAME,
    },
    Words {
        class: Class::Wow,
        common: "wow oh yes well yeah ha sure okay neat indeed haha lol right gosh",
        made: 0,
        endings: &[],
        shift: FRAME,
    },
];

/// The words of every class with the law they are drawn by.
pub(super) struct Lexicon {
    classes: Vec<(Vec<String>, Zipf)>,
}

impl Lexicon {
    /// The same for every seed: corpora of two seeds differ in what is said, not in the language.
    pub fn new() -> Self {
        let mut used: HashSet<String> =
            CLASSES.iter().flat_map(|words| words.common.split(' ')).map(str::to_owned).collect();
        let classes = CLASSES.iter().enumerate().map(|(index, words)| {
            debug_assert_eq!(words.class as usize, index);
            let mut all: Vec<String> = words.common.split_whitespace().map(str::to_owned).collect();
            let mut state = index as u64;
            let wanted = all.len() + words.made;
            while all.len() < wanted {
                let word = made_up(&mut state, words.endings);
                if used.insert(word.clone()) {
                    all.push(word);
                }
            }
            let zipf = Zipf::new(all.len(), words.shift);
            (all, zipf)
        });
        Self { classes: classes.collect() }
    }

    /// A word of the class.
    pub fn draw(&self, class: Class, rng: &mut ChaCha8Rng) -> &str {
        let (words, zipf) = &self.classes[class as usize];
        &words[zipf.sample(rng)]
    }
}

const ONSETS: [&str; 28] = [
    "b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "cl", "dr", "fl", "gr", "kr",
    "pl", "sh", "st", "th", "tr", "sn",
];
const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ee", "oo", "ai"];
const CODAS: [&str; 16] = ["b", "d", "g", "l", "m", "n", "p", "r", "t", "v", "nd", "rk", "lm", "mp", "st", "nt"];

/// One or two syllables and an ending. Every onset is a consonant, so that "a" is the right article.
fn made_up(state: &mut u64, endings: &[&str]) -> String {
    let mut pick = |from: &[&'static str]| from[step(state, from.len())];
    let mut word = String::new();
    word += pick(&ONSETS);
    word += pick(&VOWELS);
    if pick(&["one", "one", "one", "two"]) == "two" {
        word += pick(&["b", "d", "l", "m", "n", "r", "t", "v"]);
        word += pick(&["a", "e", "i", "o"]);
    }
    word += pick(&CODAS);
    word + endings[step(state, endings.len())]
}

/// A number below `bound` from SplitMix64 (Steele, Lea and Flood, 2014), which needs no seed beyond its counter.
fn step(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % bound as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_the_order_of_their_numbers() {
        for (index, words) in CLASSES.iter().enumerate() {
            assert_eq!(words.class as usize, index, "{:?}", words.class);
            assert!(!words.common.is_empty() && (words.made == 0) == words.endings.is_empty());
        }
    }

    #[test]
    fn made_up_words_are_new_pronounceable_and_take_the_article_a() {
        let lexicon = Lexicon::new();
        let mut made = HashSet::new();
        for ((words, _), class) in lexicon.classes.iter().zip(&CLASSES) {
            assert_eq!(words.len(), class.common.split(' ').count() + class.made);
            for word in &words[words.len() - class.made..] {
                assert!(made.insert(word), "{word} twice");
                assert!(word.len() <= 14 && word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
                assert!(!word.starts_with(['a', 'e', 'i', 'o', 'u']), "{word}");
            }
        }
        assert!(made.len() > 2_400, "{}", made.len());
    }
}
