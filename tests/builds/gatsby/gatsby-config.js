module.exports = { pathPrefix: "/shop", siteMetadata: { title: "Corner shop" } };
