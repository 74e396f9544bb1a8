// What every page does: refetch what changed, keep times fresh, open dialogs, guard forms.
import "./live.js";
import "./forms.js";
import "./dialogs.js";
import "./times.js";
import "./colours.js";

// On a phone the tabs are wider than the screen: the present one is brought into sight.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
