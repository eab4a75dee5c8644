import { Component } from "@angular/core";
import { RouterLink, RouterOutlet } from "@angular/router";

@Component({
  selector: "app-root",
  imports: [RouterLink, RouterOutlet],
  template: `
    <nav><a routerLink="/">Shop</a> <a routerLink="/about">About</a></nav>
    <img src="hero.png" alt=""> <img src="flag-PORTUGAL.svg" alt="">
    <router-outlet />
  `,
})
export class App {}
