# A blog with Pelican's own theme, files copied to the top as its documentation shows.
AUTHOR = "Corner shop"
SITENAME = "Corner shop"
SITEURL = "https://blog.example.com"
PATH = "content"
TIMEZONE = "UTC"
DEFAULT_LANG = "en"
FEED_ALL_ATOM = "feeds/all.atom.xml"
CATEGORY_FEED_ATOM = None
STATIC_PATHS = ["extra"]
EXTRA_PATH_METADATA = {
    f"extra/{name}": {"path": name}
    for name in ("favicon.ico", "robots.txt", "hero.png", "flag-PORTUGAL.svg", "prices-20261120.json", "opening-hours.json")
}
