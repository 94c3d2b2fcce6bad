// One container group that serves Lastgang over HTTPS, and the database that holds its users.
// By default it has a public address and a DNS label. With closed=true it has a private address in a network of its
// own, out of which nothing leads but the way to the database; Azure gives no group both.
// The registry is there before: README.md pushes the image into it first.

@description('Name of the container group and beginning of every other name.')
@minLength(3)
@maxLength(20)
param name string = 'lastgang'

param location string = resourceGroup().location

@description('Name of the container registry in this resource group.')
param registryName string

@description('Repository and digest, such as lastgang@sha256:..., or repository and tag.')
param image string

@description('No public address, and no way out but to the database.')
param closed bool = false

@description('First part of the public name: LABEL.REGION.azurecontainer.io. Not used with closed=true.')
param dnsLabel string = name

@description('A group maps no ports: the service listens on this very one. On 443 only where Azure lets a user but root do so.')
@allowed([443, 8443])
param port int = 8443

@description('Name of the user that the first start makes.')
param firstUser string = 'admin'

@secure()
@description('Password of that user.')
param firstPassword string

@secure()
@description('At least 32 random bytes that sign the tokens, such as from openssl rand -hex 32.')
param signingKey string

@secure()
@description('The certificate with its chain, PEM.')
param tlsCertificate string

@secure()
@description('Its private key, PEM.')
param tlsKey string

@secure()
@minLength(16)
@description('Password of the database: of capital and small letters, digits and others three kinds.')
param databasePassword string

var databaseUser = 'lastgang'
var databaseName = 'lastgang'
var unique = uniqueString(resourceGroup().id)
// certifi's roots, in the image: the certificate of the database is checked, its name included.
var roots = '/opt/lastgang/lib/python3.11/site-packages/certifi/cacert.pem'
var pullRole = '7f951dda-4ed3-4680-a7ca-43fe172d538d' // AcrPull

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-pull'
  location: location
}

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, identity.id, pullRole)
  scope: registry
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', pullRole)
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-logs'
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30
  }
}

resource rules 'Microsoft.Network/networkSecurityGroups@2023-11-01' = if (closed) {
  name: '${name}-rules'
  location: location
  properties: {
    securityRules: [
      {
        name: 'https-in'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: string(port)
        }
      }
      {
        name: 'nothing-else-in'
        properties: {
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
      {
        name: 'database-out'
        properties: {
          priority: 100
          direction: 'Outbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '10.90.1.0/24'
          destinationPortRange: '5432'
        }
      }
      {
        name: 'metadata-never'
        properties: {
          priority: 200
          direction: 'Outbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: 'AzurePlatformIMDS'
          destinationPortRange: '*'
        }
      }
      {
        name: 'nothing-else-out'
        properties: {
          priority: 4000
          direction: 'Outbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2023-11-01' = if (closed) {
  name: '${name}-network'
  location: location
  properties: {
    addressSpace: {
      addressPrefixes: ['10.90.0.0/16']
    }
    subnets: [
      {
        name: 'service'
        properties: {
          addressPrefix: '10.90.0.0/24'
          networkSecurityGroup: {
            id: rules.id
          }
          delegations: [
            {
              name: 'groups'
              properties: {
                serviceName: 'Microsoft.ContainerInstance/containerGroups'
              }
            }
          ]
        }
      }
      {
        name: 'database'
        properties: {
          addressPrefix: '10.90.1.0/24'
          delegations: [
            {
              name: 'databases'
              properties: {
                serviceName: 'Microsoft.DBforPostgreSQL/flexibleServers'
              }
            }
          ]
        }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2020-06-01' = if (closed) {
  name: '${name}.private.postgres.database.azure.com'
  location: 'global'
}

resource zoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = if (closed) {
  parent: zone
  name: 'network'
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

var openDatabase = {
  publicNetworkAccess: 'Enabled'
}
var closedDatabase = {
  delegatedSubnetResourceId: '${network.id}/subnets/database'
  privateDnsZoneArmResourceId: zone.id
  publicNetworkAccess: 'Disabled'
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers@2024-08-01' = {
  name: '${name}-${unique}'
  location: location
  sku: {
    name: 'Standard_B1ms'
    tier: 'Burstable'
  }
  properties: {
    version: '16'
    administratorLogin: databaseUser
    administratorLoginPassword: databasePassword
    storage: {
      storageSizeGB: 32
    }
    backup: {
      backupRetentionDays: 14
      geoRedundantBackup: 'Disabled'
    }
    network: closed ? closedDatabase : openDatabase
  }
  dependsOn: [zoneLink]
}

resource users 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2024-08-01' = {
  parent: database
  name: databaseName
}

// A group with a public address goes out from an address that nobody knows before: all of Azure's are let in, and the
// password and TLS are what keeps them out. closed=true has no such rule.
resource fromAzure 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2024-08-01' = if (!closed) {
  parent: database
  name: 'from-azure'
  properties: {
    startIpAddress: '0.0.0.0'
    endIpAddress: '0.0.0.0'
  }
}

var ports = [
  {
    protocol: 'TCP'
    port: port
  }
]
var openAddress = {
  type: 'Public'
  dnsNameLabel: dnsLabel
  ports: ports
}
var closedAddress = {
  type: 'Private'
  ports: ports
}
var closedSubnets = [
  {
    id: '${network.id}/subnets/service'
  }
]

resource group 'Microsoft.ContainerInstance/containerGroups@2023-05-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    osType: 'Linux'
    sku: 'Standard'
    restartPolicy: 'Always'
    imageRegistryCredentials: [
      {
        server: registry.properties.loginServer
        identity: identity.id
      }
    ]
    ipAddress: closed ? closedAddress : openAddress
    subnetIds: closed ? closedSubnets : null
    diagnostics: {
      logAnalytics: {
        workspaceId: logs.properties.customerId
        workspaceKey: logs.listKeys().primarySharedKey
        logType: 'ContainerInstanceLogs'
      }
    }
    containers: [
      {
        name: 'lastgang'
        properties: {
          image: '${registry.properties.loginServer}/${image}'
          ports: ports
          resources: {
            requests: {
              cpu: 2
              memoryInGB: 2
            }
          }
          environmentVariables: [
            {
              name: 'LASTGANG_PORT'
              value: string(port)
            }
            {
              name: 'LASTGANG_FIRST_USER'
              value: firstUser
            }
            {
              name: 'LASTGANG_FIRST_PASSWORD_FILE'
              value: '/run/secrets/first.password'
            }
            {
              name: 'LASTGANG_DATABASE_URL_FILE'
              value: '/run/secrets/database.url'
            }
          ]
          volumeMounts: [
            {
              name: 'secrets'
              mountPath: '/run/secrets'
              readOnly: true
            }
            {
              name: 'state'
              mountPath: '/var/lib/lastgang'
            }
          ]
          readinessProbe: {
            exec: {
              command: ['/opt/lastgang/bin/python', '/opt/bento/src/probe.py']
            }
            initialDelaySeconds: 10
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          }
          livenessProbe: {
            exec: {
              command: ['/opt/lastgang/bin/python', '/opt/bento/src/probe.py']
            }
            initialDelaySeconds: 120
            periodSeconds: 30
            timeoutSeconds: 10
            failureThreshold: 6
          }
        }
      }
    ]
    volumes: [
      {
        name: 'secrets'
        secret: {
          'tls.crt': base64(tlsCertificate)
          'tls.key': base64(tlsKey)
          'signing.key': base64(signingKey)
          'first.password': base64(firstPassword)
          'database.url': base64('postgresql+psycopg://${databaseUser}:${uriComponent(databasePassword)}@${database.properties.fullyQualifiedDomainName}:5432/${databaseName}?sslmode=verify-full&sslrootcert=${roots}')
        }
      }
      {
        name: 'state'
        emptyDir: {}
      }
    ]
  }
  dependsOn: [pull, users, fromAzure]
}

output address string = closed ? 'https://${group.properties.ipAddress.ip}:${port}' : 'https://${group.properties.ipAddress.fqdn}:${port}'
