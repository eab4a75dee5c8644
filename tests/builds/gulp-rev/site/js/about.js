document.querySelector("#founded").textContent = "2026";
