# For terraform-compliance:
#
#   reconciler plan accounts.yaml --format tfplan --output plan.json
#   terraform-compliance --features examples/policy --planfile plan.json
Feature: Mail is sent encrypted

  Accounts of Gmail and Outlook are always encrypted. For all others, the plan must declare the encryption.

  Scenario: No account without encryption
    Given I have email_account defined
    When its service is other
    Then it must have smtp_crypt
    And its value must match the "^(starttls|ssl-tls)$" regex
