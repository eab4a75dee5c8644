# A small manual with Furo; static files get ?v= and no hash in their names.
project = "Corner shop"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["extra.css"]
html_extra_path = ["extra"]
