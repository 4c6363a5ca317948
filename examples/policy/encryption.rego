# For OPA, conftest and other tools that read Rego:
#
#   reconciler plan accounts.yaml --format tfplan --output plan.json
#   conftest test --policy examples/policy plan.json
package main

import rego.v1

encrypted := {"starttls", "ssl-tls"}

accounts contains account if {
	some account in input.planned_values.root_module.resources
}

# In a fleet, each server is a module.
accounts contains account if {
	some server in input.planned_values.root_module.child_modules
	some account in server.resources
}

deny contains sprintf("%s would send mail without encryption", [account.name]) if {
	some account in accounts
	account.mode == "managed"
	account.values.service == "other"
	not encrypted[account.values.smtp_crypt]
}
