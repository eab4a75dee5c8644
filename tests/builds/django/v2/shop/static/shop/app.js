document.querySelector("#department").textContent = "Fruit, bread and cheese";
