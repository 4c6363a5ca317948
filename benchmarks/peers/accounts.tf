# Turns the accounts in a YAML file into resources.
terraform {
  required_providers {
    mail = { source = "local.test/peers/mail" }
  }
}

variable "file" {}

resource "mail_account" "accounts" {
  for_each            = { for account in yamldecode(file(var.file)).accounts : account.email => account }
  default             = each.value.default
  name                = each.value.name
  email               = each.value.email
  service             = each.value.service
  hash_auth           = each.value.hash_auth
  password            = each.value.password
  smtp_server         = each.value.smtp_server
  smtp_port           = each.value.smtp_port
  smtp_crypt          = each.value.smtp_crypt
  smtp_auth_mechanism = each.value.smtp_auth_mechanism
}
