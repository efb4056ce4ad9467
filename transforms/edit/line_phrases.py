"""The phrases of web pages that the editor `lines` looks for: Tamis's own choice, all in English.

RefinedWeb names one example for each place and does not publish its lists, so these are not its.
They are what site templates print, and what prose seldom has in a line of ten words.
"""

COUNTED = (
    *("like", "likes", "share", "shares", "comment", "comments", "view", "views", "reply", "replies"),
    *("follower", "followers", "following", "subscriber", "subscribers", "retweet", "retweets", "repost", "reposts"),
    *("vote", "votes", "upvote", "upvotes", "downvote", "downvotes", "download", "downloads", "review", "reviews"),
    *("rating", "ratings", "reaction", "reactions", "favorite", "favorites", "favourite", "favourites"),
    *("bookmark", "bookmarks", "play", "plays", "save", "saves", "people like this"),
)
"""What a counter counts: `3 likes`, `1.2K views`, `Comments (12)`."""

AT_START = (
    *("sign in", "sign-in", "signin", "sign up", "sign out", "log in", "login", "log out", "logout", "register now"),
    *("skip to content", "skip to main content", "skip to navigation", "toggle navigation", "back to top"),
    *("share this", "share on facebook", "share on twitter", "tweet this", "follow us on", "print this page"),
    *("subscribe to our newsletter", "sign up for our newsletter", "leave a comment", "leave a reply"),
)
"""What a line begins with."""

AT_END = (
    *("read more", "continue reading", "view more", "see more", "show more", "load more", "view all", "see all"),
    *("read full article", "read the full article", "read full story", "read the full story", "read the rest"),
    *("opens in new window", "opens in a new window", "opens in new tab", "opens in a new tab"),
    *("leave a comment", "leave a reply", "click to enlarge", "click to expand"),
)
"""What a line ends with, marks such as `…` and `»` aside."""

ANYWHERE = (
    *("item in cart", "items in cart", "item in your cart", "items in your cart", "item(s) in your cart"),
    *("your cart is empty", "your shopping cart is empty", "add to cart", "add to wishlist", "add to basket"),
    *("all rights reserved", "accept all cookies", "cookie settings", "please enable javascript"),
)
"""What a line contains."""
