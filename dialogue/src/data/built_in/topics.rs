//! What the dialogues of the built-in corpus are about, as templates.
//!
//! Slots: `{a}` and `{b}` are the two facts of the persona on the topic, `{x}` and `{y}` what the partner says
//! about itself; any other is a word of that [`Class`], drawn anew. Texts are tokenised: spaces around punctuation,
//! at most 14 tokens.

use super::lexicon::Class;

/// A message and its reply.
pub(super) type Pair = (&'static str, &'static str);

/// A topic with its two kinds of fact.
pub(super) struct Topic {
    /// What `{a}` and `{x}` are.
    pub main: Class,
    /// What `{b}` and `{y}` are.
    pub detail: Class,
    /// Persona statements.
    pub persona: &'static [&'static str],
    /// Answers to "how are you ?".
    pub opening: &'static [&'static str],
    /// Questions of the partner.
    pub ask: &'static [Pair],
    /// Further questions, once the topic has come up.
    pub follow: &'static [Pair],
    /// Statements of the partner about itself.
    pub tell: &'static [Pair],
}

/// Questions and statements that a dialogue starts with; its reply is one of [`Topic::opening`].
pub(super) const GREETINGS: [&str; 4] = [
    "{hello} , {name} from {place} here . how are you ?",
    "{hello} ! i am {name} , a {adj} {job} . you ?",
    "{hello} {name} ! how was your {adj} {time} ?",
    "{hello} , i had a {adj} {time} in {place} . and you ?",
];

/// How a dialogue may end.
pub(super) const CLOSINGS: [Pair; 3] = [
    ("it was {good} to talk to you , {bye} !", "{bye} ! enjoy your {adj} {time} ."),
    ("i have to meet {name} in {place} now .", "okay , say hi from me . {bye} !"),
    ("thank you for the {adj} chat , {bye} .", "{bye} , and enjoy the {adj} {time} in {place} !"),
];

/// Topics, the frequent ones first.
pub(super) const TOPICS: [Topic; 14] = [
    Topic {
        main: Class::Hobby,
        detail: Class::Name,
        persona: &[
            "i like {a} with my {adj} friend {b} .",
            "{a} is my favorite hobby .",
            "my friend {b} taught me {a} .",
        ],
        opening: &["{hello} ! i am {good} , just back from {a} with {b} .", "{good} ! {a} all {time} made me {adj} ."],
        ask: &[
            ("what do you do for fun ?", "i like {a} with my friend {b} , and you ?"),
            ("do you have any {adj} hobbies ?", "yes , i {really} love {a} ."),
            ("what are your plans for the {time} ?", "{a} with {b} , it will be {good} ."),
        ],
        follow: &[
            ("who do you go {a} with ?", "with my friend {b} , {b} loves {a} ."),
            ("is {a} {adj} ?", "no , {a} is {really} {good} !"),
        ],
        tell: &[
            ("i {really} enjoy {x} .", "{wow} , {x} sounds {good} ! i prefer {a} ."),
            ("my friend {y} and i went {x} this {time} .", "how was {x} ? i went {a} with {b} ."),
            ("{x} makes me {adj} .", "{x} ? i do not like {x} , i like {a} ."),
        ],
    },
    Topic {
        main: Class::Food,
        detail: Class::Spice,
        persona: &[
            "my favorite food is {a} with {b} .",
            "i could eat {adj} {a} every {time} .",
            "i put {b} on my {a} .",
        ],
        opening: &["i am {good} , i just ate {adj} {a} with {b} .", "{good} , but i am hungry for {a} ."],
        ask: &[
            ("what is your favorite food ?", "i love {a} with {b} , what about you ?"),
            ("what did you eat this {time} ?", "i had {adj} {a} with {b} ."),
            ("are you {good} at cooking ?", "yes , my {adj} {a} is {really} {good} ."),
        ],
        follow: &[
            ("how do you make your {a} ?", "with a lot of {b} , i love {b} ."),
            ("is {a} with {b} {good} ?", "it is {good} , you should try {a} !"),
        ],
        tell: &[
            ("i am eating {x} with {y} right now .", "{wow} , {x} ! i would eat {a} ."),
            ("i can not stand {adj} {x} .", "i like {x} , but {a} is my favorite ."),
            ("{x} with {y} is the best food .", "i have never had {x} with {y} , is it {good} ?"),
        ],
    },
    Topic {
        main: Class::Job,
        detail: Class::Company,
        persona: &["i work as a {a} for {b} .", "i am a {adj} {a} .", "my job at {b} is {adj} ."],
        opening: &["{good} , just tired from work at {b} .", "i am {good} , the {adj} {a} has a day off !"],
        ask: &[
            ("what do you do for a living ?", "i am a {a} at {b} , how about you ?"),
            ("where do you work ?", "i work at {b} as a {a} ."),
            ("do you like your job ?", "yes , being a {a} is {adj} but {good} ."),
        ],
        follow: &[
            ("is it hard to be a {a} ?", "it is {adj} , but {b} pays {really} well ."),
            ("how is {b} to work for ?", "{b} is {really} {good} , and a bit {adj} ."),
        ],
        tell: &[
            ("i am a {x} , i work for {y} .", "{wow} , a {x} ! i am a {a} ."),
            ("i lost my job as a {x} this {time} .", "i am sorry . {b} needs a {x} !"),
            ("i want to be a {adj} {x} .", "a {x} ? that would be {good} ."),
        ],
    },
    Topic {
        main: Class::Place,
        detail: Class::Place,
        persona: &["i live in {a} near {b} .", "i moved from {b} to {a} .", "my home is a {adj} house in {a} ."],
        opening: &["i am {good} , it is a {adj} {time} here in {a} .", "{good} ! just came home to {a} from {b} ."],
        ask: &[
            ("where are you from ?", "i live in {a} near {b} , and you ?"),
            ("where do you live ?", "in {a} , it is a {adj} place ."),
            ("is it {adj} where you live ?", "no , {a} is {really} {adj} ."),
        ],
        follow: &[
            ("how far is {a} from {b} ?", "not far , {b} is {really} close to {a} ."),
            ("do you like it in {a} ?", "yes , {a} is {good} , but {b} was {adj} ."),
        ],
        tell: &[
            ("i am from {x} , near {y} .", "i have been to {x} ! i live in {a} ."),
            ("i am going to {x} this {time} .", "{wow} , {x} is {good} . say hi to {y} !"),
            ("{x} is too {adj} for me .", "then come to {a} , it is {adj} here ."),
        ],
    },
    Topic {
        main: Class::Animal,
        detail: Class::Name,
        persona: &["i have a {a} named {b} .", "my {adj} {a} is called {b} .", "{b} is my pet {a} ."],
        opening: &["i am {good} , just playing with my {a} {b} .", "{good} ! my {a} is {adj} this {time} ."],
        ask: &[
            ("do you have any pets ?", "yes , i have a {a} named {b} ."),
            ("do you like animals ?", "i love my {adj} {a} {b} ."),
            ("what makes you {adj} ?", "my {a} {b} , {b} is {really} {good} ."),
        ],
        follow: &[
            ("what is the name of your {a} ?", "my {a} is called {b} ."),
            ("is your {a} {adj} ?", "{b} is a {adj} {a} , but {good} ."),
        ],
        tell: &[
            ("i just got a {adj} {x} .", "a {x} ! what is the name of your {x} ?"),
            ("my {x} {y} is {adj} this {time} .", "poor {y} ! my {a} {b} is {adj} too ."),
            ("i am afraid of every {x} .", "{wow} , a {x} is {good} ! i have a {a} ."),
        ],
    },
    Topic {
        main: Class::Kin,
        detail: Class::Job,
        persona: &["my {a} is a {b} .", "my {adj} {a} works as a {b} .", "i live with my {a} , a {b} ."],
        opening: &["i am {good} , visiting my {a} this {time} .", "{good} , my {a} made me a {adj} cake !"],
        ask: &[
            ("tell me about your family .", "my {a} is a {adj} {b} ."),
            ("do you live alone ?", "no , with my {a} , a {adj} {b} ."),
            ("who do you look up to ?", "my {a} , a {adj} {b} ."),
        ],
        follow: &[
            ("what does your {a} do ?", "my {a} is a {b} , it is {adj} work ."),
            ("is your {a} {adj} ?", "yes , my {a} is {really} {adj} !"),
        ],
        tell: &[
            ("my {x} is a {adj} {y} .", "{wow} , my {a} is a {b} !"),
            ("my {x} is {adj} this {time} .", "i hope your {x} is {good} soon ."),
            ("i miss my {x} , the {y} .", "call your {x} ! i call my {a} every {time} ."),
        ],
    },
    Topic {
        main: Class::Band,
        detail: Class::Instrument,
        persona: &["my favorite band is the {a} .", "i play the {b} .", "i play {a} songs on my {adj} {b} ."],
        opening: &["i am {good} , listening to the {a} .", "{good} ! i played the {b} all {time} ."],
        ask: &[
            ("what music do you like ?", "i {really} like the {a} , do you know them ?"),
            ("do you play an instrument ?", "yes , i play the {b} , it is {adj} ."),
            ("what is your favorite band ?", "the {a} , they are {really} {good} ."),
        ],
        follow: &[
            ("can you play the {a} on the {b} ?", "yes , the {a} are {good} on the {b} ."),
            ("have you seen the {a} live ?", "yes , the {a} were {adj} and {good} !"),
        ],
        tell: &[
            ("i saw the {x} this {time} !", "the {x} are {adj} , i prefer the {a} ."),
            ("i play the {y} in a {adj} band .", "{good} ! i play the {b} ."),
            ("the {x} are my favorite band .", "{wow} , i like the {x} and the {a} ."),
        ],
    },
    Topic {
        main: Class::Drink,
        detail: Class::Time,
        persona: &["i drink {a} every {b} .", "i love {adj} {a} .", "a {b} without {a} is {adj} ."],
        opening: &["i am {good} now , i had my {b} {a} !", "{good} ! sitting here with a {adj} {a} ."],
        ask: &[
            ("what do you like to drink ?", "{adj} {a} , i drink it every {b} ."),
            ("can i get you a {adj} drink ?", "yes , i would love some {a} ."),
            ("how do you start the {time} ?", "with {a} , {really} {adj} {a} ."),
        ],
        follow: &[
            ("how much {a} do you drink ?", "too much {a} ! i have it every {b} ."),
            ("is {a} {good} for you ?", "{a} makes every {b} {good} ."),
        ],
        tell: &[
            ("i only drink {x} in the {y} .", "i have never had {x} , i drink {a} ."),
            ("{adj} {x} makes my {y} .", "{wow} , {x} is {good} , but try {a} ."),
            ("i spilled my {x} this {time} .", "oh no , not the {x} ! have some {a} ."),
        ],
    },
    Topic {
        main: Class::Team,
        detail: Class::Sport,
        persona: &["i play {b} for the {a} .", "my team is the {a} .", "i watch {adj} {b} with the {a} fans ."],
        opening: &["i am {good} , the {a} won this {time} !", "{good} , just home from {b} with the {a} ."],
        ask: &[
            ("do you play any sports ?", "i play {b} for the {a} ."),
            ("what is your favorite team ?", "the {a} , they are {really} {adj} ."),
            ("did you watch the {adj} game ?", "yes , the {a} play {good} {b} !"),
        ],
        follow: &[
            ("are the {a} {good} ?", "the {a} are {really} {good} at {b} ."),
            ("how long have you played {b} ?", "since i was young . {b} is {good} ."),
        ],
        tell: &[
            ("i am a fan of the {x} .", "the {x} ? the {a} are {really} {adj} !"),
            ("i play {y} with the {x} .", "{wow} , i play {b} for the {a} ."),
            ("the {x} lost this {time} .", "sorry ! the {x} were {adj} , the {a} won ."),
        ],
    },
    Topic {
        main: Class::Vehicle,
        detail: Class::Colour,
        persona: &["i drive a {b} {a} .", "my {a} is {b} and {adj} .", "i want to sell my {b} {a} ."],
        opening: &["i am {good} , i just washed my {b} {a} .", "not so {good} , my {a} broke this {time} ."],
        ask: &[
            ("what do you drive ?", "i drive a {adj} {b} {a} ."),
            ("do you have a car ?", "no , i have a {b} {a} ."),
            ("how do you get to work ?", "in my {adj} {a} , it is {b} ."),
        ],
        follow: &[
            ("what color is your {a} ?", "my {a} is {b} , a {adj} {b} ."),
            ("is your {a} fast ?", "yes , my {b} {a} is {really} fast !"),
        ],
        tell: &[
            ("i bought a {y} {x} this {time} .", "a {y} {x} ! my {a} is {b} ."),
            ("my {adj} {x} will not start .", "sell the {x} and get a {a} !"),
            ("i would love a {x} .", "{wow} , a {x} is {adj} , i have a {a} ."),
        ],
    },
    Topic {
        main: Class::Title,
        detail: Class::Name,
        persona: &["my favorite book is {a} by {b} .", "i read {a} every {time} .", "i like the {adj} books of {b} ."],
        opening: &["i am {good} , i just finished reading {a} .", "{good} ! reading a {adj} book by {b} ."],
        ask: &[
            ("do you read {adj} books ?", "yes , {a} by {b} is my favorite ."),
            ("what is your favorite book ?", "{a} , it is {really} {adj} ."),
            ("which writer do you like ?", "i like {b} , the writer of {a} ."),
        ],
        follow: &[
            ("who wrote {a} ?", "{a} is by {b} , a {adj} writer ."),
            ("is {a} {good} ?", "{a} is {really} {good} and {adj} ."),
        ],
        tell: &[
            ("i am reading {x} by {y} .", "is {x} {good} ? i am reading {a} ."),
            ("{x} is a {adj} book .", "{wow} , i found {x} {adj} , try {a} ."),
            ("{y} wrote a new book this {time} .", "{y} is {good} , but i prefer {b} ."),
        ],
    },
    Topic {
        main: Class::Plant,
        detail: Class::Colour,
        persona: &["i grow {b} {a} in my garden .", "my garden is full of {adj} {a} .", "{a} are my favorite plants ."],
        opening: &["i am {good} , i planted {adj} {a} this {time} .", "{good} ! my {b} {a} are out ."],
        ask: &[
            ("do you have a garden ?", "yes , i grow {b} {a} there ."),
            ("what do you grow ?", "{adj} {a} , the {b} ones ."),
            ("what is that {adj} smell ?", "those are my {b} {a} ."),
        ],
        follow: &[
            ("what color are your {a} ?", "my {a} are {b} , and {really} {adj} ."),
            ("are {a} hard to grow ?", "no , {a} are {really} {good} plants ."),
        ],
        tell: &[
            ("i planted {y} {x} this {time} .", "{y} {x} are {good} ! i grow {a} ."),
            ("my {x} look {adj} .", "give your {x} water , my {a} love it ."),
            ("i picked some {adj} {x} for you .", "{wow} , {x} ! i have {b} {a} for you ."),
        ],
    },
    Topic {
        main: Class::Language,
        detail: Class::Place,
        persona: &["i speak {a} .", "i learned {a} in {b} .", "i grew up in {adj} {b} and speak {a} ."],
        opening: &["i am {good} , just back from my {a} class .", "{good} ! i miss {b} this {time} ."],
        ask: &[
            ("do you speak any {adj} languages ?", "yes , i speak {a} , i learned it in {b} ."),
            ("where did you grow up ?", "in {b} , we speak {a} there ."),
            ("did you go to school ?", "yes , i studied {adj} {a} in {b} ."),
        ],
        follow: &[
            ("is {a} hard to learn ?", "{a} is {adj} , but {b} helped me ."),
            ("do they speak {a} in {b} ?", "yes , all of {b} speaks {a} ."),
        ],
        tell: &[
            ("i am learning {x} this {time} .", "{x} is {really} {adj} , i speak {a} ."),
            ("they speak {x} in {y} .", "{wow} , {x} sounds {good} ! in {b} we speak {a} ."),
            ("my {adj} teacher is from {y} .", "{y} is {good} , my teacher was from {b} ."),
        ],
    },
    Topic {
        main: Class::Adjective,
        detail: Class::Adjective,
        persona: &["i am a {a} and {b} person .", "people say that i am {a} .", "i love {b} movies ."],
        opening: &["i am {good} , but a bit {a} this {time} .", "{good} ! i saw a {b} movie ."],
        ask: &[
            ("what are you like ?", "i am {a} and {really} {b} ."),
            ("what movies do you watch ?", "i love {b} movies , they are {good} ."),
            ("how would {name} describe you ?", "they would say that i am {a} ."),
        ],
        follow: &[
            ("are you always so {a} ?", "yes , always {a} and {b} !"),
            ("do you know {name} from {place} ?", "no , are they as {a} as me ?"),
        ],
        tell: &[
            ("i am a {x} person .", "{x} people are {good} ! i am {a} ."),
            ("i watched a {x} movie in {place} .", "{wow} , i like {b} movies , not {x} ones ."),
            ("my life is {x} and {y} .", "{x} ? mine is {a} , and {b} ."),
        ],
    },
];
