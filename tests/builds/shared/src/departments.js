// Departments by name, each a chunk of its own.
export const departments = {
  apples: () => import("./pages/apples.js"),
  bread: () => import("./pages/bread.js"),
  cheese: () => import("./pages/cheese.js"),
  dates: () => import("./pages/dates.js"),
  eggs: () => import("./pages/eggs.js"),
  flour: () => import("./pages/flour.js"),
  grapes: () => import("./pages/grapes.js"),
  honey: () => import("./pages/honey.js"),
};
