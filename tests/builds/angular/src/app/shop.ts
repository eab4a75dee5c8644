import { Component } from "@angular/core";

@Component({ selector: "app-shop", template: `<h1>Shop</h1><p>Apples are 30 cents.</p>` })
export class Shop {}
