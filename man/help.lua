-- SPDX-License-Identifier: MIT
hvo.help()
