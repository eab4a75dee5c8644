import { Component } from "@angular/core";

@Component({ selector: "app-about", template: `<h1>About</h1>`, styles: `h1 { background: url("../shared/logo.svg"); }` })
export class About {}
