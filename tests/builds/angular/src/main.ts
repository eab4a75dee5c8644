import { provideZonelessChangeDetection } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";
import { provideRouter } from "@angular/router";
import { provideServiceWorker } from "@angular/service-worker";
import { App } from "./app/app";

const routes = [
  { path: "", loadComponent: () => import("./app/shop").then((module) => module.Shop) },
  { path: "about", loadComponent: () => import("./app/about").then((module) => module.About) },
];

bootstrapApplication(App, {
  providers: [provideZonelessChangeDetection(), provideRouter(routes), provideServiceWorker("ngsw-worker.js")],
});
