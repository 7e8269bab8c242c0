"""Words and phrases, all written for Tamis, that graded damage and made-up web pages are put together from."""

KEYS: dict[str, str] = {
    "a": "sq", "e": "wr", "i": "uo", "o": "ip", "u": "yi", "n": "bm", "t": "ry", "s": "ad", "r": "et", "l": "kp",
    "d": "sf", "h": "gj", "c": "xv", "m": "nk", "p": "ol", "g": "fh", "y": "tu", "b": "vn", "f": "dg", "w": "qe",
}  # fmt: skip
"""Neighbours on the keyboard."""
SWAPS: dict[str, tuple[str, ...]] = {
    "the": ("", "a", "teh"), "a": ("", "the", "an"), "an": ("a", ""), "is": ("are", "be", ""), "are": ("is",),
    "was": ("were", "is"), "were": ("was",), "has": ("have",), "have": ("has", "of"), "in": ("on", "at"),
    "on": ("in", "at"), "to": ("", "too"), "of": ("", "off"), "for": ("of", "to"), "their": ("there", "thier"),
    "its": ("it's", "it"), "than": ("then",), "with": ("whit", "by"), "this": ("these",), "these": ("this",),
    "much": ("many",), "many": ("much",), "which": ("wich", "who"), "because": ("becouse", "becuase"), "does": ("do",),
    "not": ("no",), "they": ("their",), "it": ("he", ""),
}  # fmt: skip
"""What a frequent word is mistaken for."""
FILLER: tuple[str, ...] = (
    "It is what it is.", "There are many things to say about this.", "As everyone knows, this is important.",
    "In this article we will talk about it.", "Please keep reading to find out more.", "That is really something.",
    "And so on and so forth.", "Many people think about this a lot.", "This is a thing that matters to many people.",
    "Let us look at that in more detail later on.", "At the end of the day, it all depends.", "Stay tuned for more.",
    "Click here to read more.", "Do not forget to share this with your friends.", "We hope that you like this page.",
    "Thank you for visiting our site.", "Leave a comment below and tell us what you think.", "But more on that later.",
    "You will not believe what happens next.", "It can be good or it can be bad.", "Sign up for our newsletter.",
)  # fmt: skip
"""Sentences that say nothing."""
CASUAL: dict[str, str] = {
    "do not": "don't", "cannot": "can't", "is not": "ain't", "going to": "gonna", "want to": "wanna", "very": "super",
    "because": "cuz", "you": "u", "are": "r", "people": "folks", "children": "kids", "good": "awesome", "bad": "crappy",
    "large": "huge", "many": "tons of", "however": "but yeah", "therefore": "so", "approximately": "like",
    "for example": "like", "significant": "big", "and": "n", "obtain": "get", "provide": "give", "patients": "folks",
    "children's": "kids'",
}  # fmt: skip
"""Slang for words of a formal text."""
ASIDES: tuple[str, ...] = (
    "lol", "you know", "haha", "I guess", "or whatever", "dude", "no kidding!!", "omg", "kinda", "seriously?!", "yeah",
    "man", "btw", "so cool", "wtf", "whatever", ":-)", "imo",
)  # fmt: skip
"""What chatty people append."""
SHOUTS: tuple[str, ...] = (
    "WOW!!!", "You guys, listen up!", "Hey there!", "BUY NOW!!!", "omg so true", "Hereinafter referred to as such.",
    "Thou shalt heed these words.", "lol ok", "#winning", "Dear Sir or Madam,", "RT if you agree!!",
)  # fmt: skip
"""Openings in another register."""
MENU: tuple[str, ...] = (
    "Home", "About", "About Us", "Contact", "Contact Us", "Log in", "Sign up", "Register", "My Account", "Search",
    "Menu", "Privacy Policy", "Terms of Use", "Sitemap", "FAQ", "Help", "News", "Blog", "Events", "Gallery", "Services",
    "Products", "Shop", "Cart", "Checkout", "Wishlist", "Support", "Careers", "Press", "Forum", "Members", "Downloads",
    "Archive", "Categories", "Tags", "Skip to content", "Back to top", "Next", "Previous", "Share", "Tweet", "Print",
    "Email this", "Facebook", "Twitter", "Instagram", "YouTube", "RSS", "Subscribe", "Newsletter", "Follow us",
    "Read more", "See all", "View cart", "Compare", "Language", "English", "Deutsch", "Advertise", "Staff", "Locations",
    "Directions", "Hours",
)  # fmt: skip
FOOTER: tuple[str, ...] = (
    "Copyright {year} {Name}. All rights reserved.", "Powered by {Name}", "Posted by {name} on {month} {day}, {year}",
    "{day} {month} {year} | {number} comments",
    "This site uses cookies. By continuing you agree to our use of cookies.",
    "You must be logged in to post a comment.", "Filed under: {Name}, {Name}", "Tags: {name}, {name}, {name}",
    "Share this: Facebook Twitter Email Print", "Leave a Reply Cancel reply",
    "Your email address will not be published.", "Last updated: {month} {day}, {year}", "No comments yet.",
    "Page {day} of {number}", "Views: {number}",
    "JavaScript is disabled in your browser. Please enable it to use this site.", "Sorry, no results were found.",
    "The page you are looking for does not exist.", "Please select your country.",
    "Showing 1-{day} of {number} results", "Enter your email to get our weekly newsletter.",
    "Related posts: {Name} | {Name} | {Name}", "Joined: {month} {year}", "Posts: {number}",
    "Sort by: Newest Oldest Price", "Related: {Name}", "Previous article: {Name}", "Quote", "Forgot your password?",
    "Remember me", "All times are GMT. The time now is {day}:30.", "Reply With Quote",
)  # fmt: skip
GOODS: tuple[str, ...] = (
    "{Name} {Name} - ${number}.99", "{Name} (Pack of {day}) ${number}.00 Add to cart", "{Name} {name} Size: S M L XL",
    "In stock. Ships within {day} days. {Name}", "SKU: {number}-{day} {Name}",
    "{Name} {name}, brand new, free shipping", "Was ${number}.99 Now ${day}.99 Save {day}%",
    "{Name} for sale - {day} bids - {number} watching", "Qty: 1 Add to Wishlist",
    "Rating: 4.{day} ({number} reviews) {Name}", "{Name} | {Name} | {name} | ${number}",
    "Condition: Used. {Name} {name}", "{Name} {name} {number} mm x {day} mm", "Item #{number}: {Name}",
    "{Name} hotel, {day} rooms, from ${number} per night",
)  # fmt: skip
ADVERTS: tuple[str, ...] = (
    "Our {name} is the best {name} on the market today!", "Looking for cheap {name}? You have come to the right place.",
    "Order your {name} now and get free shipping on every order.", "We offer high quality {name} at the lowest price.",
    "Call us today for a free quote on {name} and {name}.", "Get {day}% off {name} when you buy two or more.",
    "Buy {name} online without leaving your home.", "With years of experience our team delivers {name} you can trust.",
    "Do not miss this amazing offer on {name}!", "Our {name} will change your life in only {day} days.",
    "Satisfaction guaranteed or your money back.", "Best {name} {name} reviews and the best price for {name} {year}.",
    "Contact our friendly staff to book your {name} today.", "Download {name} for free, no registration needed.",
    "This stylish {name} is perfect for any {name} and makes a great gift.", "Win a {name} in our {month} giveaway!",
    "We are the leading provider of {name} solutions for your business.", "{Name} is a must have for {name} lovers.",
    "Watch {name} {name} full video online free now.", "Visit our {name} store for the latest {name} collection.",
    "Sign up now and start earning with {name}.", "Our customers love our {name} and you will too!",
    "Book cheap {name} deals and save on your next {name} trip.", "It features a {name} {name} and a durable {name}.",
    "Thank you for choosing {Name} for all your {name} needs.", "{Name} dating site to meet single {name} near you.",
    "Play {name} slots and win the {name} jackpot with our bonus.",
    "Located near {Name}, our {name} offers free parking.",
    "We buy and sell used {name} in {Name} and surrounding areas.", "Click the link below to claim your {name} bonus.",
)  # fmt: skip
CHATTER: tuple[str, ...] = (
    "Thanks for sharing!!", "Great post, keep it up.", "I love this so much <3", "Does anyone know where to get one?",
    "Sorry I have not posted in a while, life has been busy.", "Anyway that was my weekend, more pics soon.", "Me too!",
    "+1", "First!", "Any help would be appreciated, thanks.", "lol so true", "Can't wait!!!",
    "I'm so tired today but I wanted to post something.", "Happy birthday to my sister!", "What do you guys think?",
    "Just got back from the store and I am so excited to show you what I got.", "Bump.",
    "Can someone delete this thread?", "Hope you all have a great week!",
    "I was going to write more but I have to go now.", "PM sent.", "Nice one mate", "So yeah, that happened.",
    "I really like this one, it is so cute and I want to make one for my mom.",
)  # fmt: skip
MONTHS: tuple[str, ...] = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
FOREIGN: tuple[str, ...] = (
    "Der Müller öffnete am frühen Morgen das Tor.", "Niemand wusste, wann der Zug kommen würde.",
    "Am Abend saßen alle zusammen am Feuer und erzählten.", "Le boulanger a vendu tout son pain avant midi.",
    "Personne ne savait où la rivière prenait sa source.", "Les enfants jouaient encore dans le jardin du voisin.",
    "El molinero abrió la puerta antes del amanecer.", "Nadie sabía cuándo iba a llegar el próximo tren.",
    "Los niños jugaban todavía en el jardín del vecino.", "Il mugnaio aprì il cancello prima dell'alba.",
    "Nessuno sapeva quando sarebbe arrivato il treno.", "De molenaar opende de poort nog voor zonsopgang.",
    "Мельник открыл ворота ещё до рассвета.", "Никто не знал, когда придёт следующий поезд.",
    "磨坊主在黎明前打开了大门。", "没有人知道火车什么时候会来。",
)  # fmt: skip
"""Sentences in other languages, for training without foreign text of one's own."""
