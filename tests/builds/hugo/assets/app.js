document.querySelector("#department").textContent = "Fruit and bread";
