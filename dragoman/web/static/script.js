// What pages do beyond links and forms. Every page also works without this file.
"use strict";
